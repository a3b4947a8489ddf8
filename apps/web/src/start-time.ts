// How long systems have taken from the click to their prompt, in this browser.
const PREFIX = 'retrap-start '
let begun: { readonly title: string; readonly at: number } | null = null

export function timeStart(title: string): void {
  begun = { title, at: performance.now() }
}

/** Records that the started system shows its prompt. */
export function timePrompt(): void {
  if (begun === null) return
  try {
    localStorage.setItem(PREFIX + begun.title, String(performance.now() - begun.at))
  } catch {
    // This browser keeps nothing.
  }
  begun = null
}

/** Milliseconds that a system took the last time; null: unknown. */
export function startedIn(title: string): number | null {
  try {
    const ms = Number(localStorage.getItem(PREFIX + title))
    return ms > 0 ? ms : null
  } catch {
    return null
  }
}
