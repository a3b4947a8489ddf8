import type { OnProgress } from '@retrap/debian'

/** Says of each thing that it is fetched, without the bar of `fetch-progress`, whose library is large. @param tell - gets a line */
export function fetchLines(tell: (text: string) => void): OnProgress {
  let told = ''
  return (_fraction, what) => {
    if (what !== told) tell(`fetching ${what}`)
    told = what
  }
}
