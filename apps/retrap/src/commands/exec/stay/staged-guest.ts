/** A fork of a prepared machine that is made before its run: it has random numbers of its own and the host's time, and stands still. */
import { randomBytes } from 'node:crypto'
import type { ByteStreamBackend, ByteStreamClient } from '@retrap/device'
import type { Share } from '@retrap/virtio/p9'
import { type ExecGuest, type ExecOutside, type GuestStreams, unused } from '@retrap/linux-guest/jobs/guest'
import { setClock, stir } from '@retrap/linux-guest/jobs/job'
import type { ExecKind } from '@retrap/linux-guest/jobs/machine'
import { ExecError } from '@retrap/linux-guest/jobs/errors'

const STAGED = 'staged'
/** Longest time until a fork stands still. */
const MOST_MS = 30_000

/** A port whose other end comes later. */
class LatePort implements ByteStreamBackend {
  #client: ByteStreamClient | undefined
  #end: ByteStreamBackend | undefined

  send(bytes: Uint8Array): boolean | void {
    return this.#end?.send(bytes)
  }

  connect(client: ByteStreamClient): void {
    this.#client = client
  }

  ready(): void {
    this.#end?.ready?.()
  }

  bind(end: ByteStreamBackend): void {
    this.#end = end
    if (this.#client !== undefined) end.connect?.(this.#client)
    end.ready?.()
  }
}

/** A share whose files come later: nobody looks for any before. */
class LateShare implements Share {
  #share: Share | undefined

  root(): ReturnType<Share['root']> {
    return this.#share!.root()
  }

  bind(share: Share): void {
    this.#share = share
  }
}

const LATE_STREAMS = ['stdin', 'stdout', 'stderr', 'terminal', 'report'] as const

type LatePorts = Readonly<Record<(typeof LATE_STREAMS)[number], LatePort>>

/** Hears the lines of the port for status. */
interface StatusEar {
  hear: (line: string) => void
}

export class StagedGuest {
  readonly guest: ExecGuest
  readonly #ports: LatePorts
  readonly #shares: readonly LateShare[]
  readonly #status: StatusEar

  private constructor(guest: ExecGuest, ports: LatePorts, shares: readonly LateShare[], status: StatusEar) {
    this.guest = guest
    this.#ports = ports
    this.#shares = shares
    this.#status = status
  }

  /** Forks a machine. @param outside - of the kind: its shares are named, and not used */
  static async make(original: ExecGuest, kind: ExecKind, outside: ExecOutside): Promise<StagedGuest> {
    const over = new AbortController()
    const status = { hear: (line: string): void => void (line === STAGED && over.abort()) }
    const ports = Object.fromEntries(LATE_STREAMS.map((name) => [name, new LatePort()])) as LatePorts
    const shares = outside.shares.map(() => new LateShare())
    const late = outside.shares.map((one, i) => ({ ...one, share: shares[i]! }))
    const streams = { ...unused((line) => status.hear(line)), ...ports } as unknown as GuestStreams
    const guest = await original.fork(kind, streams, { ...outside, shares: late, network: undefined }, true)
    guest.jobs.say([...stir(randomBytes(64)), setClock(Date.now() / 1000), `echo ${STAGED} >&7`, ''].join('\n'))
    const { reason } = await guest.run(over.signal, MOST_MS)
    if (over.signal.aborted) return new StagedGuest(guest, ports, shares, status)
    guest.close()
    throw new ExecError(125, `a fork of the prepared machine has not come to rest (${reason})`)
  }

  /** Gives the guest its ends. */
  bind(streams: GuestStreams, { shares }: ExecOutside): ExecGuest {
    this.#status.hear = streams.status
    for (const [i, { share }] of shares.entries()) this.#shares[i]!.bind(share)
    for (const name of LATE_STREAMS) this.#ports[name].bind(streams[name])
    return this.guest
  }
}
