// A kept disk is open in one tab at a time. A second tab gets the name of the tab that uses the disk.
const CHANNEL = 'retrap-kept-disks'
/** Time for another page to answer. */
const ANSWER_MS = 500
const LONGEST_TITLE = 100

/** The page that uses a kept disk. */
export interface DiskHolder {
  /** The title of the page's tab. */
  readonly title: string
  /** Time at which the page's machine was made, in milliseconds since 1970. */
  readonly since: number
}

interface Asked {
  readonly asks: string
}

interface Answered extends DiskHolder {
  readonly holds: string
}

/** Has this page answer for the disks of a machine. @returns a function that ends the answering */
export function answerForDisks(names: readonly string[]): () => void {
  const since = Date.now()
  const channel = new BroadcastChannel(CHANNEL)
  channel.addEventListener('message', ({ data }: MessageEvent<Asked | Answered>) => {
    if (!('asks' in data) || !names.includes(data.asks)) return
    channel.postMessage({ holds: data.asks, title: document.title, since } satisfies Answered)
  })
  return () => channel.close()
}

/** Asks all pages of this site which one uses a kept disk. @returns null without an answer */
export async function holderOf(name: string): Promise<DiskHolder | null> {
  const channel = new BroadcastChannel(CHANNEL)
  const { promise, resolve } = Promise.withResolvers<DiskHolder | null>()
  channel.addEventListener('message', ({ data }: MessageEvent<Asked | Answered>) => {
    if ('holds' in data && data.holds === name)
      resolve({ title: data.title.slice(0, LONGEST_TITLE), since: data.since })
  })
  channel.postMessage({ asks: name } satisfies Asked)
  const timer = setTimeout(() => resolve(null), ANSWER_MS)
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    channel.close()
  }
}
