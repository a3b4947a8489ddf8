import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net'
import { numbers } from '@retrap/tooling/random'

/** A network between two ends of a TCP connection, which a test makes worse. */
export interface BadNetwork {
  /** The port that leads to the other end. */
  readonly port: number
  readonly cuts: number
  /** Connections that there have been. */
  readonly connections: number
  cut(): void
  /** Keeps bytes back, without a word to either end; false: lets them go. */
  hold(on: boolean): void
  /** Where connections lead from now on. */
  redirect(port: number): void
  close(): Promise<void>
}

/** How bad it is: one in so many pieces meets each fate. Infinity: none. */
export interface Weather {
  /** The piece arrives a few milliseconds late, and all after it. */
  readonly late?: number
  /** A part of the piece arrives, and then nothing more: both sides are cut off. */
  readonly cut?: number
  /** The sender's half is closed, as if it had ended there. */
  readonly halfClose?: number
  /** Nothing more arrives, and nobody is told. */
  readonly silence?: number
}

/** Makes a network that leads to a port of this host. What it does to which piece follows from `seed` and the pieces. */
export async function badNetwork(to: number, weather: Weather = {}, seed = 1): Promise<BadNetwork> {
  const below = numbers(seed)
  const meets = (one = Infinity): boolean => one !== Infinity && below(one) === 0
  const sockets = new Set<Socket>()
  let [port, cuts, connections, held] = [to, 0, 0, false]
  const waiting: (() => void)[] = []
  const carry = async (from: Socket, into: Socket): Promise<void> => {
    from.on('error', () => {}).on('close', () => (sockets.delete(from), into.destroy()))
    sockets.add(from)
    let silent = false
    try {
      for await (const piece of from as AsyncIterable<Buffer>) {
        if (meets(weather.late)) await new Promise((resolve) => void setTimeout(resolve, 1 + below(5)))
        if (held) await new Promise<void>((resolve) => void waiting.push(resolve))
        silent ||= meets(weather.silence)
        if (silent) continue
        if (meets(weather.cut)) {
          cuts++
          into.write(piece.subarray(0, below(piece.length)))
          setImmediate(() => (from.destroy(), into.destroy()))
          return
        }
        if (meets(weather.halfClose)) {
          cuts++
          into.end(piece)
          return
        }
        if (!into.write(piece)) await new Promise((resolve) => void into.once('drain', resolve).once('close', resolve))
      }
    } catch {
      // Cut.
    }
    into.end()
  }
  const server = createServer((near) => {
    connections++
    const far = createConnection(port, '127.0.0.1')
    for (const socket of [near, far]) socket.setNoDelay(true)
    void carry(near, far)
    void carry(far, near)
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    get cuts() {
      return cuts
    },
    get connections() {
      return connections
    },
    cut,
    hold(on) {
      held = on
      if (!on) for (const go of waiting.splice(0)) go()
    },
    redirect(other) {
      port = other
    },
    async close() {
      cut()
      await new Promise((resolve) => void server.close(resolve))
    },
  }
}
