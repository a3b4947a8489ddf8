import { randomUUID } from 'node:crypto'
import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { IoreqError } from '@retrap/ioreq'
import {
  checkDeviceName,
  type DeviceAnnouncement,
  encodeAnnouncement,
  isHost,
  LEASE_MS,
  type NatsClient,
  subjectsOf,
} from './announcement.ts'
import type { DeviceService } from '../service.ts'

/** Options for announcing a {@link DeviceService}. */
export interface AnnounceOptions {
  /** The name of the devices, by which machines ask for them; the server's certificate should have it as a DNS name. */
  readonly name: string
  /** The address at which machines reach this host. Default: the service's address, or this host's name if it listens at every one. */
  readonly host?: string
  /** For how long machines remember an announcement, in milliseconds, 100 to 600,000. It is renewed three times as often. Default 15,000. */
  readonly leaseMs?: number
}

/** Least time between two answers to questions, in milliseconds, however many machines ask. */
const ANSWER_EVERY_MS = 50
/** Time limit for the last announcement, in milliseconds. */
const LAST_MS = 1000

/**
 * Announces a service of devices over NATS, until it is closed. NATS learns the content of an announcement, and nothing of
 * devices or guests. A connection to NATS that is lost and made again goes on with announcements.
 *
 * @throws IoreqError `ERR_INVALID` for a name, host or lease that will not do, and for a service without TLS
 */
export function announceDevices(nats: NatsClient, service: DeviceService, options: AnnounceOptions): DeviceAnnouncer {
  return new DeviceAnnouncer(nats, service, options)
}

/** A service that is announced; see {@link announceDevices}. */
export class DeviceAnnouncer {
  readonly #nats: NatsClient
  readonly #service: DeviceService
  readonly #host: string
  readonly #port: number
  readonly #leaseMs: number
  readonly #at: string
  readonly #server = randomUUID()
  readonly #questions: { unsubscribe(): void }
  readonly #renewal: NodeJS.Timeout
  #answer: NodeJS.Timeout | null = null
  #last = -Infinity
  #closed = false

  /** @internal Use {@link announceDevices}. */
  constructor(nats: NatsClient, service: DeviceService, options: AnnounceOptions) {
    const { name, leaseMs = LEASE_MS.usual, host } = options
    checkDeviceName(name)
    if (!(Number.isInteger(leaseMs) && leaseMs >= LEASE_MS.least && leaseMs <= LEASE_MS.most))
      throw new IoreqError(
        'ERR_INVALID',
        `a lease of ${leaseMs} ms: expected whole milliseconds, ${LEASE_MS.least} to ${LEASE_MS.most}`,
      )
    const { address } = service
    if (service.fingerprint === null || 'path' in address)
      throw new IoreqError('ERR_INVALID', 'a service without TLS is not announced: give it `tls`')
    this.#host = host ?? reachable(address.host ?? '127.0.0.1')
    if (!isHost(this.#host))
      throw new IoreqError('ERR_INVALID', `host '${this.#host}': expected a DNS name or an IP address`)
    this.#nats = nats
    this.#service = service
    this.#port = address.port
    this.#leaseMs = leaseMs
    const { at, ask } = subjectsOf(name)
    this.#at = at
    this.#questions = nats.subscribe(ask, { callback: (error) => error === null && this.#asked() })
    this.#renewal = setInterval(() => this.#announce(leaseMs), leaseMs / 3).unref()
    this.#announce(leaseMs)
  }

  /** Says that the service is no more to be had, and announces it no longer. Machines that are connected stay. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#renewal)
    if (this.#answer !== null) clearTimeout(this.#answer)
    if (this.#nats.isClosed()) return
    this.#questions.unsubscribe()
    this.#announce(0)
    // Without a connection the message is not delivered, and the lease ends by itself.
    const sent = this.#nats.flush().catch(() => {})
    await Promise.race([sent, new Promise((resolve) => setTimeout(resolve, LAST_MS).unref())])
  }

  /** Many that ask at once get one answer. */
  #asked(): void {
    if (this.#closed || this.#answer !== null) return
    const wait = Math.max(0, this.#last + ANSWER_EVERY_MS - performance.now())
    this.#answer = setTimeout(() => {
      this.#answer = null
      this.#announce(this.#leaseMs)
    }, wait)
  }

  #announce(leaseMs: number): void {
    if (this.#nats.isClosed()) return
    this.#last = performance.now()
    const announcement: DeviceAnnouncement = {
      server: this.#server,
      host: this.#host,
      port: this.#port,
      fingerprint: this.#service.fingerprint ?? '',
      machines: this.#service.machines,
      maxMachines: this.#service.maxMachines,
      leaseMs,
    }
    this.#nats.publish(this.#at, encodeAnnouncement(announcement))
  }
}

/** An address that others can connect to, of one that is listened at. */
function reachable(host: string): string {
  return isIP(host) !== 0 && /^[0:.]+$/.test(host) ? hostname() : host
}
