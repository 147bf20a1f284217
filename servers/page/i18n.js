// All texts of the page, in English and Chinese, and the switch between them.

const TEXTS = {
  en: {
    language: "Language",
    title: "One stream of tokens, three ways to take it.",
    lead: "A language model speaks at its own pace; you read at yours. Start the race, then slow the reader down: whatever does not fit between the two has to wait, be lost, or be joined. Which one is the strategy.",
    race: "The race",
    strategy: "Strategy: what happens when the reader is slower",
    "strategy.missing": "missing", "strategy.error": "error", "strategy.drop": "drop", "strategy.latest": "latest",
    "strategy.buffer": "buffer", "strategy.reduce": "reduce", "strategy.suspend": "suspend",
    "explain.missing": "Nothing holds the stream back: every token is pushed at the source’s pace, and what you have not read piles up in this tab.",
    "explain.error": "The first token that finds you not asking ends the stream with an error: better no answer than a wrong one.",
    "explain.drop": "A token that comes while you are not asking is lost: the sentence gets holes, and what you do read is fresh.",
    "explain.latest": "One place is kept, and each new token takes it from the one before: whenever you look up, you jump to the newest.",
    "explain.buffer": "Tokens queue in a buffer of fixed capacity; once it is full, the overflow rule decides who goes.",
    "explain.reduce": "Tokens that wait are joined into one longer piece: fewer and bigger steps, and not a letter is lost.",
    "explain.suspend": "The source itself waits until you ask: nothing is lost, and everything comes later.",
    capacity: "Capacity", unbounded: "unbounded", overflow: "When full",
    "overflow.error": "error", "overflow.drop_oldest": "drop the oldest", "overflow.drop_incoming": "drop the incoming",
    "overflow.drop_newest_held": "drop the newest held", "overflow.suspend": "suspend the source",
    rate: "Source, tokens/s", pacing: "Pacing",
    "pacing.steady": "steady", "pacing.poisson": "Poisson", "pacing.bursty": "bursty", "pacing.recorded": "as recorded",
    source: "Source", more: "More", count: "Tokens", all: "all", seed: "Seed", prefetch: "Asked for ahead",
    reader: "Your reader takes", "reader.paused": "nothing (paused)", "reader.speed": "{rate} tokens/s",
    "reader.unlimited": "all that comes",
    start: "Start the race", restart: "Start again", "start.client": "Start", stop: "Stop",
    readahead: "Why the race asks for tokens one by one: a browser reads half a megabyte and more ahead of the page before TCP feels anything, so a page that merely reads slowly slows nobody down. Here the reader sends request(1) over a WebSocket whenever it is ready for the next one: Reactive Streams demand, across the wire.",
    legend: "Legend", "legend.shown": "shown", "legend.merged": "shown, merged", "legend.lost": "lost",
    "legend.held": "held at the boundary", "legend.unread": "unread in this tab",
    "emitter.name": "Emitter", "rx.name": "Rx Flowable", "flux.name": "Flux",
    "emitter.what": "Each send waits until its token is taken. There is no buffer.",
    "rx.what": "An Observable pushes; an operator behind it decides.",
    "flux.what": "A sink with a bounded buffer; its producer can wait.",
    "note.same": "Runs {strategy}.",
    "note.emitter": "Always lossless: an emitter’s producer waits for each send. Runs suspend, not {strategy}.",
    "note.rx": "Its on_next cannot wait, so Rx cannot suspend. Runs reduce, which loses no text either.",
    "note.capacity": "Runs suspend, without a buffer: an emitter holds nothing.",
    "state.idle": "ready", "state.running": "running", "state.completed": "completed", "state.failed": "failed",
    "state.stopped": "stopped", "state.reconnecting": "reconnecting",
    emitted: "emitted", delivered: "delivered", dropped: "dropped", merged: "merged", held: "held", demand: "demand",
    unread: "unread", age: "age", late: "source late",
    "define.emitted": "Tokens that the source has handed over. Under suspend one that still waits counts as soon as it was offered.",
    "define.delivered": "Items that crossed the boundary because you asked for them. A merged item counts once.",
    "define.dropped": "Tokens lost to the strategy. Each hole in the text says how many are missing, counted from the tokens’ numbers.",
    "define.merged": "Tokens folded into one that was already waiting.",
    "define.held": "Items at the boundary, on the server, that nobody has asked for yet.",
    "define.demand": "What you have requested and not been given yet.",
    "define.unread": "Items that have arrived in this tab and wait for the reader. missing lets them pile up here, and so does asking ahead.",
    "define.age": "Of the newest token shown: from leaving the source to appearing here. The server’s clock is aligned by the fastest frame of this race.",
    "define.late": "How far behind its own schedule the source was when it let go of the newest token shown: the price of suspend.",
    numbers: "What the numbers mean",
    chart: "Held, dropped and unread over time", map: "One cell for each token of the source",
    paper: "Text of {name}", "gap.title": "{n} lost here", "merged.title": "{n} tokens in one",
    "announce.start": "The race has started.", "announce.end": "{name}: {state}, {delivered} delivered, {dropped} dropped.",
    "announce.stop": "The race was stopped.",
    drawing: "On paper",
    "drawing.lead": "What a strategy does to a few tokens, as a marble diagram: time runs to the right, a full marble arrives, a hollow one is lost, a wide one is several joined. The server computes it on a virtual clock, with the core that also runs the race.",
    "strategy.short": "Strategy", max_merged: "Merged at most", "drawing.reader": "The reader takes",
    "drawing.picture": "Marble diagram.", "drawing.words": "The same in words",
    "drawing.summary": "{emitted} emitted, {delivered} delivered, {dropped} lost, {merged} merged.",
    classic: "The two classic clients",
    "classic.lead": "How pages take a token stream without demand of their own. The browser reads ahead, so the slow reader is played on the server: it takes so many tokens a second from the boundary.",
    variant: "Variant", reader_rate: "Reader, tokens/s (0: all)",
    "eventsource.what": "GET, reconnects by itself. Ends with close(); a reconnect after the end gets 204.",
    "fetch.what": "POST with a JSON body, read and parsed piece by piece. Stops with an AbortController.",
    tally: "{events} events, {characters} characters",
    "invalid.small": "0 for no limit, or at least {smallest}.",
    "failure.lost": "The connection was lost.", "failure.refused": "The server refused the stream (this client cannot see why).",
    footer: "tokenweir compares backpressure in Python: one source, three variants, one tail. The page loads nothing from elsewhere.",
  },
  zh: {
    language: "语言",
    title: "同一条词元流，三种接法。",
    lead: "语言模型按自己的节奏说话，你按你的节奏阅读。先开始比赛，再把读者放慢：两者之间容不下的部分，要么等待，要么丢失，要么合并。怎么选，就是“策略”。",
    race: "比赛",
    strategy: "策略：读者较慢时怎么办",
    "strategy.missing": "不管 missing", "strategy.error": "报错 error", "strategy.drop": "丢弃 drop",
    "strategy.latest": "最新 latest", "strategy.buffer": "缓冲 buffer", "strategy.reduce": "合并 reduce",
    "strategy.suspend": "挂起 suspend",
    "explain.missing": "没有任何约束：词元按源的速度推送，来不及读的全堆在这个标签页里。",
    "explain.error": "第一个无人请求的词元就让整条流以错误结束：宁可没有答案，也不要错的答案。",
    "explain.drop": "没有请求时到来的词元会丢失：句子出现空洞，但读到的都是新鲜的。",
    "explain.latest": "只保留一个位置，新词元顶掉旧词元：每次抬头，都跳到最新的一个。",
    "explain.buffer": "词元在固定容量的缓冲区里排队；满了之后，由溢出规则决定谁离开。",
    "explain.reduce": "等待中的词元合并成更长的一段：步子更少、更大，一个字也不丢。",
    "explain.suspend": "源自己停下来等你请求：什么都不丢，只是都来得更晚。",
    capacity: "容量", unbounded: "无界", overflow: "满了以后",
    "overflow.error": "报错", "overflow.drop_oldest": "丢最旧的", "overflow.drop_incoming": "丢新来的",
    "overflow.drop_newest_held": "丢暂存中最新的", "overflow.suspend": "让源等待",
    rate: "源速率（词元/秒）", pacing: "节奏",
    "pacing.steady": "均匀", "pacing.poisson": "泊松", "pacing.bursty": "突发", "pacing.recorded": "按录制",
    source: "源", more: "更多", count: "词元数", all: "全部", seed: "随机种子", prefetch: "预取个数",
    reader: "读者的速度", "reader.paused": "不读（暂停）", "reader.speed": "每秒 {rate} 个词元", "reader.unlimited": "来多少读多少",
    start: "开始比赛", restart: "重新开始", "start.client": "开始", stop: "停止",
    readahead: "为什么要一个一个地请求：浏览器会抢在页面之前读入半兆字节以上，TCP 才有感觉，所以页面读得慢并不会让任何人慢下来。这里读者每准备好读下一个，就通过 WebSocket 发回 request(1)：这就是跨网络的 Reactive Streams 需求。",
    legend: "图例", "legend.shown": "已显示", "legend.merged": "合并后显示", "legend.lost": "已丢失",
    "legend.held": "暂存在边界", "legend.unread": "标签页内未读",
    "emitter.name": "Emitter", "rx.name": "Rx Flowable", "flux.name": "Flux",
    "emitter.what": "每次 send 都等到词元被取走，没有缓冲区。",
    "rx.what": "Observable 只管推送，由其后的操作符决定取舍。",
    "flux.what": "带有界缓冲区的 sink，生产者可以等待。",
    "note.same": "使用 {strategy}。",
    "note.emitter": "始终无损：发射器的生产者每次都等 send 完成。使用 suspend，而不是 {strategy}。",
    "note.rx": "on_next 不能等待，所以 Rx 无法挂起。改用同样不丢文字的 reduce。",
    "note.capacity": "使用不带缓冲的 suspend：发射器什么都不存。",
    "state.idle": "就绪", "state.running": "进行中", "state.completed": "已完成", "state.failed": "失败",
    "state.stopped": "已停止", "state.reconnecting": "重连中",
    emitted: "发出", delivered: "送达", dropped: "丢弃", merged: "合并", held: "暂存", demand: "需求",
    unread: "未读", age: "延迟", late: "源落后",
    "define.emitted": "源已交出的词元数。挂起时，正在等待的那个一经提供即计入。",
    "define.delivered": "因你的请求而越过边界的元素数。合并后的一段只算一个。",
    "define.dropped": "因策略而丢失的词元数。文中每个空洞都标出缺了几个，由词元编号算出。",
    "define.merged": "并入已在等待的词元的个数。",
    "define.held": "停在服务器边界上、还没有人请求的元素数。",
    "define.demand": "你已请求但尚未得到的个数。∞ 表示来者不拒。",
    "define.unread": "已到达这个标签页、等待读者的元素数。missing 会让它们堆在这里，预取也会。",
    "define.age": "最新显示的词元从离开源到出现在这里的时间。服务器时钟以本场最快的一帧对齐。",
    "define.late": "源放出最新显示的词元时，比自己的时间表晚了多少：这是挂起的代价。",
    numbers: "这些数字的含义",
    chart: "暂存、丢弃与未读随时间的变化", map: "每格代表源的一个词元",
    paper: "{name} 的文字", "gap.title": "此处丢失 {n} 个", "merged.title": "{n} 个词元合为一段",
    "announce.start": "比赛开始了。", "announce.end": "{name}：{state}，送达 {delivered}，丢弃 {dropped}。",
    "announce.stop": "比赛已停止。",
    drawing: "画在纸上",
    "drawing.lead": "用弹珠图看一种策略怎样对待几个词元：时间向右走，实心的弹珠送达，空心的丢失，加宽的由几个合并而成。图由服务器用虚拟时钟算出，用的正是驱动比赛的同一个核心。",
    "strategy.short": "策略", max_merged: "最多合并", "drawing.reader": "读者的速度",
    "drawing.picture": "弹珠图。", "drawing.words": "用文字描述（英文）",
    "drawing.summary": "发出 {emitted}，送达 {delivered}，丢失 {dropped}，合并 {merged}。",
    classic: "两种经典客户端",
    "classic.lead": "页面自身不表达需求时，就这样接收词元流。浏览器会预读，所以慢读者由服务器扮演：它每秒只从边界取走这么多词元。",
    variant: "变体", reader_rate: "读者速率（0 为不限）",
    "eventsource.what": "GET，会自动重连。用 close() 结束；结束后的重连得到 204。",
    "fetch.what": "POST JSON，响应逐块读取并解析。用 AbortController 停止。",
    tally: "{events} 个事件，{characters} 个字符",
    "invalid.small": "0 表示不限，否则至少为 {smallest}。",
    "failure.lost": "连接中断了。", "failure.refused": "服务器拒绝了这条流（此客户端看不到原因）。",
    footer: "tokenweir 用 Python 比较背压：同一个源，三种变体，同一个出口。本页不从别处加载任何内容。",
  },
};

const STORED = "tokenweir.language";
let language = firstLanguage();

function firstLanguage() {
  let stored = null;
  try {
    stored = localStorage.getItem(STORED);
  } catch {
    // Storage may be forbidden; the browser's language does as well.
  }
  if (stored in TEXTS) return stored;
  return navigator.language.startsWith("zh") ? "zh" : "en";
}

export const currentLanguage = () => language;

export function setLanguage(next) {
  language = next;
  try {
    localStorage.setItem(STORED, next);
  } catch {
    // Then it is chosen anew on the next visit.
  }
}

/** The text for `key`, with {names} filled in. */
export function text(key, values = {}) {
  return TEXTS[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export const number = (value) => new Intl.NumberFormat(language, { maximumFractionDigits: 1 }).format(value);

/** Write the texts into all elements below `root` that name one. */
export function applyTexts(root = document) {
  for (const element of root.querySelectorAll("[data-i18n]")) element.textContent = text(element.dataset.i18n);
  for (const element of root.querySelectorAll("[data-i18n-label]")) {
    element.setAttribute("aria-label", text(element.dataset.i18nLabel));
  }
  for (const element of root.querySelectorAll("[data-i18n-placeholder]")) {
    element.setAttribute("placeholder", text(element.dataset.i18nPlaceholder));
  }
}
