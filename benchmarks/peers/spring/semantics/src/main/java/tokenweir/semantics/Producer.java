package tokenweir.semantics;

/** The left end of a stream: what a schedule's emit, complete and error call. */
interface Producer {
    void emit(String item);

    void complete();

    void error(Throwable failure);
}
