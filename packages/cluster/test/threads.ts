import { type ClusterHost, type GuestThread, serveGuests, type ThreadPort } from '../src/index.ts'

/** A thread of this thread, in which guests are served: messages are copied. */
export function threadOf(
  host: ClusterHost,
  name: string,
  serve = serveGuests,
): GuestThread & { end: (why: string) => void } {
  const hear: ((message: unknown) => void)[] = []
  const port = (here: number): ThreadPort => ({
    post: (message) => void setImmediate((copy) => hear[1 - here]!(copy), structuredClone(message)),
    onMessage: (listener) => void (hear[here] = listener),
  })
  serve(port(1), host)
  let end: (why: string) => void = () => undefined
  return { ...port(0), name, onEnd: (listener) => void (end = listener), end: (why) => end(why) }
}
