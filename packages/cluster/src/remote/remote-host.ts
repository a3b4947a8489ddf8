import type { ConductedCard } from '../conductor.ts'
import type { PlacedMachine } from '../description.ts'
import { ClusterError, type ClusterErrorCode } from '../errors.ts'
import type { ClusterGuest, ClusterHost, GuestListener, MachineStart } from '../host.ts'
import type { GuestFault } from '../machine-faults.ts'
import type { Call, ErrorTold, GuestTold, Reply, Request, ThreadPort } from './messages.ts'

/** A thread that serves guests, as `serveGuests` does. */
export interface GuestThread extends ThreadPort {
  /** The name for people: `Worker 1`. */
  readonly name: string
  /** Names the listener that is told why the thread has ended. */
  onEnd(listener: (why: string) => void): void
}

/** Makes the machines of a cluster in other threads: those without disks, which are not recorded. Its results are those of a host in this thread. */
export class RemoteHost implements ClusterHost {
  readonly #threads: readonly ThreadClient[]

  /** @param ownErrorOf - makes an error of the caller's own classes once more; undefined: it is none of them */
  constructor(threads: readonly GuestThread[], ownErrorOf?: (told: ErrorTold) => Error | undefined) {
    const errorOf = (told: ErrorTold): Error => ownErrorOf?.(told) ?? errorFrom(told)
    this.#threads = threads.map((thread) => new ThreadClient(thread, errorOf))
  }

  /** Makes a machine. A machine that starts again is in the same thread as before. @throws errors of the thread's host */
  async make(machine: PlacedMachine, { seed, ns }: MachineStart, listener: GuestListener): Promise<ClusterGuest> {
    const guest = new RemoteGuest(this.#threads[machine.number % this.#threads.length]!, listener)
    await guest.call({ do: 'make', machine, start: { seed, ns } })
    return guest
  }
}

/** An error of this package, or of none that has classes of its own. */
function errorFrom({ name, code, message }: ErrorTold): Error {
  if (name === 'ClusterError') return new ClusterError(code as ClusterErrorCode, message)
  return Object.assign(new Error(message), { name, code })
}

class ThreadClient {
  readonly #thread: GuestThread
  readonly #errorOf: (told: ErrorTold) => Error
  /** Requests without an answer, in their order. */
  readonly #open: { readonly resolve: (reply: Reply) => void; readonly reject: (error: Error) => void }[] = []
  #guests = 0
  #ended: Error | undefined

  constructor(thread: GuestThread, errorOf: (told: ErrorTold) => Error) {
    this.#thread = thread
    this.#errorOf = errorOf
    thread.onMessage((message) => this.#open.shift()?.resolve(message as Reply))
    thread.onEnd((why) => {
      this.#ended ??= new ClusterError('ERR_MACHINE', `${thread.name}, which runs machines, has ended: ${why}`)
      for (const { reject } of this.#open.splice(0)) reject(this.#ended)
    })
  }

  /** Returns a number for a new guest. */
  number(): number {
    return this.#guests++
  }

  /** @throws ClusterError `ERR_MACHINE` for a thread that has ended; errors of the calls */
  async ask(request: Request): Promise<Reply> {
    if (this.#ended !== undefined) throw this.#ended
    const reply = await new Promise<Reply>((resolve, reject) => {
      this.#open.push({ resolve, reject })
      this.#thread.post(request)
    })
    if (reply.error !== undefined) throw this.#errorOf(reply.error)
    return reply
  }
}

/** A guest in another thread. Its state is that after the last answer; calls without an answer wait for the next one. */
class RemoteGuest implements ClusterGuest {
  readonly thread: ThreadClient
  readonly #id: number
  readonly #listener: GuestListener
  #told: GuestTold = { now: 0, next: Infinity, room: 0 }
  readonly #calls: Call[] = []
  /** The earliest of the frames that wait with the calls, and how many these are. */
  #coming = { first: Infinity, count: 0 }
  readonly #sent: { readonly ns: number; readonly frame: Uint8Array }[] = []

  constructor(thread: ThreadClient, listener: GuestListener) {
    this.thread = thread
    this.#id = thread.number()
    this.#listener = listener
  }

  readonly card: ConductedCard = {
    room: 0,
    take: () => this.#sent.splice(0),
    deliver: (ns, frame) => {
      const { first, count } = this.#coming
      // A card that is full takes no notice of a frame.
      this.#coming = { first: count < this.#told.room ? Math.min(first, ns) : first, count: count + 1 }
      this.#calls.push({ do: 'deliver', ns, frame })
    },
    hasten: async (ns) => void (await this.call({ do: 'hasten', ns })),
  }

  now(): number {
    return this.#told.now
  }

  next(): number {
    const { now, next } = this.#told
    return Math.min(next, Math.max(now, this.#coming.first))
  }

  async runTo(ns: number, fromNs?: number): Promise<{ readonly reason: string } | undefined> {
    const reason = await this.call({ do: 'runTo', ns, fromNs })
    return reason === undefined ? undefined : { reason }
  }

  async start(name: string, words: readonly string[]): Promise<void> {
    await this.call({ do: 'start', name, words })
  }

  turnClock(ns: number): void {
    this.#tell({ do: 'turnClock', ns })
  }

  disturb(kind: GuestFault, amount: number): void {
    this.#tell({ do: 'disturb', kind, amount })
  }

  async digest(): Promise<string> {
    return (await this.call({ do: 'digest' }))!
  }

  async fork(listener: GuestListener): Promise<RemoteGuest> {
    const clone = new RemoteGuest(this.thread, listener)
    const { told } = await this.thread.ask(this.#request({ do: 'fork', clone: clone.#id }))
    clone.#told = told!
    return clone
  }

  close(): void {
    // A thread that has ended has no guests.
    this.thread.ask(this.#request({ do: 'close' })).catch(() => undefined)
  }

  async call(call: Call): Promise<string | undefined> {
    const { told, said, sent, text } = await this.thread.ask(this.#request(call))
    this.#told = told!
    this.#sent.push(...sent)
    for (const one of said)
      if (one[0] === 'ended') this.#listener.ended(one[1], one[2], one[3])
      else this.#listener[one[0]](one[1], one[2])
    return text
  }

  /** Has the guest do something at its present instant, when it runs on. */
  #tell(call: Call): void {
    this.#calls.push(call)
    this.#told = { ...this.#told, next: Math.min(this.#told.next, this.#told.now) }
  }

  #request(call: Call): Request {
    this.#coming = { first: Infinity, count: 0 }
    return { guest: this.#id, calls: [...this.#calls.splice(0), call] }
  }
}
