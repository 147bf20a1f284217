package tokenweir.semantics;

/** The callback of an operator that loses items. */
record Dropped(Schedule schedule, Log log) {
    void tell(String item) {
        log.now().dropped().add(item);
        if (schedule.callback().equals("raises")) {
            throw new Log.CallbackFailure();
        }
    }
}
