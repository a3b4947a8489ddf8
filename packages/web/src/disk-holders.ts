// A kept disk is open in one tab at a time. Where a second tab is refused, the first one tells it which tab has the disk.
const CHANNEL = 'retrap-kept-disks'
/** A page that is there answers within this time. */
const ANSWER_MS = 500
const LONGEST_TITLE = 100

/** The page that has a kept disk. */
export interface DiskHolder {
  /** The title of its tab. */
  readonly title: string
  /** Milliseconds since 1970, when its machine was made. */
  readonly since: number
}

interface Asked {
  readonly asks: string
}

interface Answered extends DiskHolder {
  readonly holds: string
}

/** Has this page answer for the disks of a machine. @returns ends it */
export function answerForDisks(names: readonly string[]): () => void {
  const since = Date.now()
  const channel = new BroadcastChannel(CHANNEL)
  channel.addEventListener('message', ({ data }: MessageEvent<Asked | Answered>) => {
    if (!('asks' in data) || !names.includes(data.asks)) return
    channel.postMessage({ holds: data.asks, title: document.title, since } satisfies Answered)
  })
  return () => channel.close()
}

/** Asks all pages of this site who has a kept disk. @returns null where nobody says so */
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
