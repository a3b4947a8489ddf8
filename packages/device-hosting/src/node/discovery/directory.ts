import { randomInt } from 'node:crypto'
import { IoreqError } from '@retrap/ioreq'
import {
  checkDeviceName,
  type DeviceAnnouncement,
  decodeAnnouncement,
  type NatsClient,
  subjectsOf,
} from './announcement.ts'

/** Servers that are remembered: more are no better. */
const MOST_SERVERS = 64
/** Announcements that are read in a second; more are dropped unread. */
const MOST_IN_A_SECOND = 500
/** Milliseconds between questions while no server is known. */
const ASK_EVERY_MS = 1000
/** Time limit for further servers' answers after the first, in milliseconds. */
const OTHERS_MS = 150
/** Default of `waitMs`. */
const WAIT_MS = 5000

const NOTHING = new Uint8Array(0)

interface Entry {
  readonly announcement: DeviceAnnouncement
  /** Time at which the lease ends, by `performance.now`. */
  readonly until: number
}

/**
 * The servers that announce devices of one name over NATS. Each is forgotten when its lease ends without another announcement.
 * An announcement is a hint: anyone who may publish there can announce anything, and keep servers from being found.
 */
export class DeviceDirectory {
  /** The name of the devices. */
  readonly name: string
  readonly #nats: NatsClient
  readonly #ask: string
  readonly #subscription: { unsubscribe(): void }
  readonly #entries = new Map<string, Entry>()
  readonly #waiting = new Set<() => void>()
  #secondBegan = -Infinity
  #inSecond = 0

  /** @throws IoreqError `ERR_INVALID` for a name that will not do */
  constructor(nats: NatsClient, name: string) {
    checkDeviceName(name)
    const { at, ask } = subjectsOf(name)
    this.name = name
    this.#nats = nats
    this.#ask = ask
    this.#subscription = nats.subscribe(at, { callback: (error, { data }) => error === null && this.#heard(data) })
  }

  /** The servers whose lease has not ended and that have room for a machine, the one with the least load first. */
  servers(): readonly DeviceAnnouncement[] {
    this.#forget()
    const loads = [...this.#entries.values()]
      .filter(({ announcement: { machines, maxMachines } }) => machines < maxMachines)
      // Machines that start at the same time must not all take the same one of equals.
      .map(({ announcement }) => ({
        announcement,
        load: announcement.machines / announcement.maxMachines,
        lot: randomInt(2 ** 32),
      }))
    return loads.sort((a, b) => a.load - b.load || a.lot - b.lot).map(({ announcement }) => announcement)
  }

  /**
   * Asks for servers until one is known.
   *
   * @param waitMs - the longest wait, in milliseconds. Default 5000
   * @throws IoreqError `ERR_NOT_FOUND` if none is known after `waitMs`
   */
  async find(waitMs: number = WAIT_MS): Promise<readonly DeviceAnnouncement[]> {
    const end = performance.now() + waitMs
    for (;;) {
      if (this.#nats.isClosed()) throw new IoreqError('ERR_NOT_FOUND', 'the connection to NATS is closed')
      this.#nats.publish(this.#ask, NOTHING)
      if (this.servers().length === 0) await this.#hearing(Math.max(0, Math.min(ASK_EVERY_MS, end - performance.now())))
      if (this.servers().length > 0) {
        await new Promise((resolve) => void setTimeout(resolve, OTHERS_MS))
        const found = this.servers()
        if (found.length > 0) return found
      }
      if (performance.now() < end) continue
      this.#forget()
      const full = this.#entries.size
      throw new IoreqError(
        'ERR_NOT_FOUND',
        full > 0
          ? `all ${full} servers of devices ${this.name} have as many machines as they take`
          : `no server of devices ${this.name} was announced within ${waitMs} ms`,
      )
    }
  }

  /** Listens to announcements no more. The connection to NATS stays. */
  close(): void {
    if (!this.#nats.isClosed()) this.#subscription.unsubscribe()
    this.#entries.clear()
  }

  #heard(data: Uint8Array): void {
    const now = performance.now()
    if (now - this.#secondBegan >= 1000) {
      this.#secondBegan = now
      this.#inSecond = 0
    }
    if (++this.#inSecond > MOST_IN_A_SECOND) return
    const announcement = decodeAnnouncement(data)
    if (announcement === null) return
    this.#entries.delete(announcement.server)
    if (announcement.leaseMs === 0) return
    if (this.#entries.size >= MOST_SERVERS) this.#makeRoom()
    this.#entries.set(announcement.server, { announcement, until: now + announcement.leaseMs })
    for (const told of this.#waiting) told()
  }

  #forget(): void {
    const now = performance.now()
    for (const [server, { until }] of this.#entries) if (until <= now) this.#entries.delete(server)
  }

  /** A server at random gives way, so that a peer that announces many cannot choose which of the others stay. */
  #makeRoom(): void {
    this.#forget()
    const servers = [...this.#entries.keys()]
    if (servers.length >= MOST_SERVERS) this.#entries.delete(servers[randomInt(servers.length)]!)
  }

  /** Waits for an announcement, at most this many milliseconds. */
  #hearing(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      this.#waiting.add(done)
    })
  }
}
