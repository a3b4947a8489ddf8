// How long systems have taken from the click to their prompt, in this browser.
import { keep, kept } from './files.ts'

const PREFIX = 'retrap-start '
let begun: { readonly title: string; readonly at: number } | null = null

export function timeStart(title: string): void {
  begun = { title, at: performance.now() }
}

/** Records that the started system shows its prompt. */
export function timePrompt(): void {
  if (begun === null) return
  keep(PREFIX + begun.title, String(performance.now() - begun.at))
  begun = null
}

/** Milliseconds that a system took the last time; null: unknown. */
export function startedIn(title: string): number | null {
  const ms = Number(kept(PREFIX + title))
  return ms > 0 ? ms : null
}
