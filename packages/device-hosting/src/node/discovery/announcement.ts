import { isIP } from 'node:net'
import { IoreqError } from '@retrap/ioreq'

/*
 * Devices are found by messages of NATS, for a name of devices:
 *
 * | subject | message |
 * |---|---|
 * | `retrap.devices.at.NAME` | a {@link DeviceAnnouncement}, as JSON: from servers, every third of the lease and when asked |
 * | `retrap.devices.ask.NAME` | empty: from machines, which want announcements at once |
 *
 * Nothing of a message is believed: it says where a server may be, and the server has to prove itself by its certificate.
 */

/** The part of a NATS connection that is used: `connect` of `@nats-io/transport-node` makes one. */
export interface NatsClient {
  /** Sends a message. */
  publish(subject: string, payload: Uint8Array): void
  /** Calls back with each message. */
  subscribe(
    subject: string,
    options: { callback(error: Error | null, message: { readonly data: Uint8Array }): void },
  ): { unsubscribe(): void }
  /** Settles when the server has received all that was sent. */
  flush(): Promise<void>
  /** Whether the connection was closed permanently. */
  isClosed(): boolean
}

/** An announcement of a server of devices. */
export interface DeviceAnnouncement {
  /** Tells this start of the server from others: 8 to 64 characters of a UUID. */
  readonly server: string
  /** A DNS name or an IP address. */
  readonly host: string
  /** The TCP port. */
  readonly port: number
  /** SHA-256 of its certificate, as in `X509Certificate.fingerprint256`. */
  readonly fingerprint: string
  /** Machines that the service serves at present. */
  readonly machines: number
  /** Most machines that the service serves. */
  readonly maxMachines: number
  /** Validity in milliseconds from the arrival of the announcement; 0: the service has ended. */
  readonly leaseMs: number
}

/** The version of the messages between servers and machines. */
const PROTOCOL = 1
/** Bytes of the longest announcement. */
export const MAX_ANNOUNCEMENT_BYTES = 2048
/** Leases, in milliseconds. */
export const LEASE_MS = { least: 100, usual: 15_000, most: 600_000 } as const
const MOST_MACHINES = 1_000_000
const MAX_NAME = 128

/**
 * Checks a name of devices: a DNS name, as the certificate of a server has it.
 *
 * @throws IoreqError `ERR_INVALID`
 */
export function checkDeviceName(name: string): void {
  const label = '[a-z0-9](?:[a-z0-9-]*[a-z0-9])?'
  if (name.length > MAX_NAME || !new RegExp(`^${label}(?:\\.${label})*$`).test(name))
    throw new IoreqError(
      'ERR_INVALID',
      `'${name.slice(0, MAX_NAME)}' is no name of devices: expected at most ${MAX_NAME} of a-z, 0-9, - and dots between them`,
    )
}

/** The subject of announcements, and the subject of questions for them. */
export function subjectsOf(name: string): { readonly at: string; readonly ask: string } {
  return { at: `retrap.devices.at.${name}`, ask: `retrap.devices.ask.${name}` }
}

/** Writes an announcement. */
export function encodeAnnouncement(announcement: DeviceAnnouncement): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ protocol: PROTOCOL, ...announcement }))
}

/**
 * Reads an announcement, which anyone may have written.
 *
 * @returns null for invalid bytes, or for another version
 */
export function decodeAnnouncement(bytes: Uint8Array): DeviceAnnouncement | null {
  if (bytes.length > MAX_ANNOUNCEMENT_BYTES) return null
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  const { protocol, server, host, port, fingerprint, machines, maxMachines, leaseMs } = value as Readonly<
    Record<keyof DeviceAnnouncement | 'protocol', unknown>
  >
  if (protocol !== PROTOCOL) return null
  if (!isText(server, /^[0-9a-f-]{8,64}$/) || !isText(fingerprint, /^[0-9A-F]{2}(?::[0-9A-F]{2}){31}$/)) return null
  if (!isText(host, /^[A-Za-z0-9:.-]{1,253}$/) || !isHost(host)) return null
  if (!isWhole(port, 1, 65_535) || !isWhole(maxMachines, 1, MOST_MACHINES)) return null
  if (!isWhole(machines, 0, MOST_MACHINES) || !isWhole(leaseMs, 0, LEASE_MS.most)) return null
  if (leaseMs !== 0 && leaseMs < LEASE_MS.least) return null
  return { server, host, port, fingerprint, machines, maxMachines, leaseMs }
}

const isText = (value: unknown, form: RegExp): value is string => typeof value === 'string' && form.test(value)

const isWhole = (value: unknown, least: number, most: number): value is number =>
  Number.isInteger(value) && (value as number) >= least && (value as number) <= most

/** Whether a text is an IP address, or a DNS name: colons are of addresses alone. */
export function isHost(text: string): boolean {
  return isIP(text) !== 0 || /^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(text)
}
