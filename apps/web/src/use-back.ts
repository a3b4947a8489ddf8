import { useEffect, useRef } from 'preact/hooks'

/** The actions of the button Back, one for each page that is shown: the last page is on top. */
const asks: (() => void)[] = []

const back = (): void => {
  stay()
  asks.at(-1)?.()
}
const stay = (): void => history.pushState({ ...history.state, machine: true }, '')

/** Has the browser's button Back ask, instead of leaving the page. A page may be shown over another one. */
export function useBack(ask: () => void): void {
  const latest = useRef(ask)
  latest.current = ask
  useEffect(() => {
    const own = (): void => latest.current()
    asks.push(own)
    if (asks.length === 1) {
      stay()
      addEventListener('popstate', back)
    }
    return () => {
      asks.splice(asks.indexOf(own), 1)
      if (asks.length > 0) return
      removeEventListener('popstate', back)
      history.back()
    }
  }, [])
}
