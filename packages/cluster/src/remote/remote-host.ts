import type { SimulatedCard } from '../simulation.ts'
import type { PlacedMachine } from '../description.ts'
import type { ClusterDisk, DiskTrouble, PowerLoss } from '../disk.ts'
import type { Seed } from '../draws.ts'
import type { ClusterGuest, ClusterHost, GuestListener, MachineStart } from '../host.ts'
import type { GuestFault, LostSectors } from '../faults.ts'
import type { Call, DiskAct, ErrorTold, GuestTold, Reply, Request, StartGiven } from './messages.ts'
import { type GuestThread, ThreadClient } from './thread-client.ts'

/** Makes the machines of a cluster in other threads, with their disks. Its results are those of a host in this thread. */
export class RemoteHost implements ClusterHost {
  readonly #threads: readonly ThreadClient[]

  /** @param ownErrorOf - makes an error of the caller's own classes once more; undefined: it is none of them */
  constructor(threads: readonly GuestThread[], ownErrorOf?: (told: ErrorTold) => Error | undefined) {
    this.#threads = threads.map((thread) => new ThreadClient(thread, ownErrorOf))
  }

  /** Makes a machine. A machine that starts again is in the same thread as before. @throws errors of the thread's host */
  async make(machine: PlacedMachine, start: MachineStart, listener: GuestListener): Promise<ClusterGuest> {
    const disk = start.disk as RemoteDisk | undefined
    const guest = new RemoteGuest(this.#threadOf(machine), listener, disk)
    await guest.call({ do: 'make', machine, start: { ...start, disk: disk?.id } })
    return guest
  }

  /** Makes the disk of a machine, in its thread. */
  makeDisk(machine: PlacedMachine, seed: Seed, name: string): ClusterDisk {
    const disk = new RemoteDisk(this.#threadOf(machine))
    disk.do({ act: 'make', bytes: machine.disk!.size, seed, name })
    return disk
  }

  /** Waits until threads have done all that they were told: also what nobody has waited for, such as a machine's end. */
  async settled(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.settled()))
  }

  #threadOf({ number }: PlacedMachine): ThreadClient {
    return this.#threads[number % this.#threads.length]!
  }
}

/** A disk in another thread: that of its machine. */
class RemoteDisk implements ClusterDisk {
  readonly id: number
  readonly #thread: ThreadClient
  /** The machine that has it; undefined: it is off. */
  guest: RemoteGuest | undefined

  constructor(thread: ThreadClient) {
    this.#thread = thread
    this.id = thread.number()
  }

  copy(): ClusterDisk {
    const copy = new RemoteDisk(this.#thread)
    this.do({ act: 'copy', to: copy.id })
    return copy
  }

  reseed(seed: Seed): void {
    this.do({ act: 'reseed', seed })
  }

  trouble(trouble: DiskTrouble): void {
    this.do({ act: 'trouble', trouble }, true)
  }

  stall(ns: number): void {
    this.do({ act: 'stall', ns }, true)
  }

  reset(): void {
    this.do({ act: 'reset' })
  }

  async losePower(lost?: readonly LostSectors[]): Promise<PowerLoss> {
    const { text } = await this.#thread.ask<Reply>(this.#request({ act: 'losePower', lost }))
    return JSON.parse(text!) as PowerLoss
  }

  close(): void {
    this.do({ act: 'close' })
  }

  /** Does something to the disk, in its turn among the calls to the machine that has it. @param wakes - it tells that machine at once */
  do(act: DiskAct, wakes = false): void {
    if (this.guest === undefined) this.#thread.tell(this.#request(act))
    else this.guest.toDisk({ do: 'disk', disk: this.id, act }, wakes)
  }

  #request(act: DiskAct): Request {
    return { guest: undefined, calls: [{ do: 'disk', disk: this.id, act }] }
  }
}

/** A guest in another thread. Its state is that after the last answer; calls without an answer wait for the next one. */
class RemoteGuest implements ClusterGuest {
  readonly isElsewhere = true
  readonly #thread: ThreadClient
  readonly #id: number
  readonly #listener: GuestListener
  readonly #disk: RemoteDisk | undefined
  #told: GuestTold = { now: 0, next: Infinity, room: 0 }
  readonly #calls: Call[] = []
  /** The earliest of the frames that wait with the calls, and how many these are. */
  #coming = { first: Infinity, count: 0 }
  readonly #sent: { readonly ns: number; readonly frame: Uint8Array }[] = []

  constructor(thread: ThreadClient, listener: GuestListener, disk: RemoteDisk | undefined) {
    this.#thread = thread
    this.#id = thread.number()
    this.#listener = listener
    this.#disk = disk
    if (disk !== undefined) disk.guest = this
  }

  readonly card: SimulatedCard = {
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

  async start(name: string, ...given: StartGiven): Promise<void> {
    await this.call({ do: 'start', name, given })
  }

  kill(name: string, of?: number): void {
    this.#tell({ do: 'kill', name, of })
  }

  turnClock(ns: number): void {
    this.#tell({ do: 'turnClock', ns })
  }

  names(named: readonly number[]): void {
    this.#tell({ do: 'names', named })
  }

  disturb(kind: GuestFault, amount: number, of?: number): void {
    this.#tell({ do: 'disturb', kind, amount, of })
  }

  async digest(): Promise<string> {
    return (await this.call({ do: 'digest' }))!
  }

  async fork(listener: GuestListener, given: ClusterDisk | undefined): Promise<RemoteGuest> {
    const disk = given as RemoteDisk | undefined
    // Frames that wait here are in the thread from now on.
    this.#told = { ...this.#told, next: this.next(), room: Math.max(0, this.#told.room - this.#coming.count) }
    const clone = new RemoteGuest(this.#thread, listener, disk)
    const reply = await this.#thread.ask<Reply>(this.#request({ do: 'fork', clone: clone.#id, disk: disk?.id }))
    clone.#told = reply.told!
    clone.#sent.push(...this.#sent, ...reply.sent)
    return clone
  }

  close(): void {
    if (this.#disk?.guest === this) this.#disk.guest = undefined
    this.#thread.tell(this.#request({ do: 'close' }))
  }

  /** Has something happen to its disk, after all earlier calls. */
  toDisk(call: Call, wakes: boolean): void {
    if (wakes) this.#tell(call)
    else this.#calls.push(call)
  }

  async call(call: Call): Promise<string | undefined> {
    const { told, said, sent, text } = await this.#thread.ask<Reply>(this.#request(call))
    this.#told = told!
    this.#sent.push(...sent)
    for (const [container, method, ...given] of said)
      (container === undefined ? this.#listener : this.#listener.inside!(container))[method](...given)
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
