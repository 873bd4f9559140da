/**
 * Calls `look` at once, and again each time after as many milliseconds as it resolves with, while somebody can see the page. A look that
 * came due meanwhile is made when they can again. `look` never rejects; what it is given says whether what it brings is still wanted:
 * not after the end, and not when a later one was begun.
 * @param {(isOver: () => boolean) => Promise<number>} look
 */
export function repeat(look) {
  let timer = 0;
  let due = 0;
  let begun = 0;
  let isUnderWay = false;
  let ended = false;

  async function run() {
    clearTimeout(timer);
    const mine = ++begun;
    isUnderWay = true;
    const isOver = () => ended || mine !== begun;
    const ms = await look(isOver);
    // A later one goes on instead.
    if (isOver()) return;
    isUnderWay = false;
    due = performance.now() + ms;
    wait();
  }

  function wait() {
    clearTimeout(timer);
    if (ended || isUnderWay || document.visibilityState !== 'visible') return;
    timer = window.setTimeout(run, Math.max(0, due - performance.now()));
  }

  document.addEventListener('visibilitychange', wait);
  void run();
  return {
    /** Looks now, whatever is under way. */
    now: () => void run(),
    end() {
      ended = true;
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', wait);
    },
  };
}
