import type { OnProgress } from '@retrap/debian'

/** Prints a line for each fetched file, without the large library of `fetch-progress`. @param tell - gets a line */
export function fetchLines(tell: (text: string) => void): OnProgress {
  let told = ''
  return (_fraction, what) => {
    if (what !== told) tell(`fetching ${what}`)
    told = what
  }
}
