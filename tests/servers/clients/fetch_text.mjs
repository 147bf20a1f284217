// Reads answers as text with `fetch` alone and prints each. Arguments: the URLs.

const read = async (url) => (await fetch(url)).text();

console.log(JSON.stringify(await Promise.all(process.argv.slice(2).map(read))));
