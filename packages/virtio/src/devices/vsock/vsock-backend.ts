/**
 * Why a connection is no more.
 *
 * | reason | meaning |
 * |---|---|
 * | `finished` | both streams have ended |
 * | `refused` | nobody listens at the guest's port |
 * | `unreachable` | the guest has no driver that runs, or there are too many connections |
 * | `reset` | the other end has broken it off, or has broken a rule, or the machine was reset or restored |
 */
export type VsockEnd = 'finished' | 'refused' | 'unreachable' | 'reset'

/** The host's user of a connection, who is notified by these calls. */
export interface VsockClient {
  /** The guest has accepted a connection. Not called for connections from the guest, which are open from the start. */
  connected?(): void
  /** Bytes have come; they are the client's to keep. */
  data(bytes: Uint8Array): void
  /** No more bytes come. */
  ended(): void
  /** `write` takes bytes gladly again. */
  drained(): void
  /** The connection is no more; nothing is called after that. */
  closed(end: VsockEnd): void
}

/** The host's end of a connection. After `VsockClient.closed` its methods do nothing. */
export interface VsockStream {
  /** The guest's port. */
  readonly guestPort: number
  /** The host's port. */
  readonly hostPort: number
  /** Sends bytes, which then belong to the stream. @returns false: they were taken, and `drained` reports when to continue */
  write(bytes: Uint8Array): boolean
  /** Ends the host's stream after all data is sent. The guest may continue to send. */
  end(): void
  /** Breaks the connection off; `closed` is not called. */
  abort(): void
  /** Brings no more data until `resume`. The guest can send as much as fits its credit, 128 KiB. */
  pause(): void
  /** Brings data again. */
  resume(): void
}

/** A guest's request for a connection to a port of the host. It is answered once; later calls do nothing. */
export interface VsockRequest {
  /** The guest's port. */
  readonly guestPort: number
  /** The host's port, which the guest has named. */
  readonly hostPort: number
  /** Accepts. @returns null where the guest has given up meanwhile */
  accept(client: VsockClient): VsockStream | null
  /** Refuses: Linux reports `ECONNRESET`. */
  refuse(): void
}

/** The guest, as a back end reaches it. */
export interface VsockGuest {
  /**
   * Opens a connection to a port of the guest. Nothing is called back before this returns.
   *
   * @param port - 0 to 4294967294
   * @throws DeviceError `ERR_OPTION` for a port out of range
   */
  connect(port: number, client: VsockClient): VsockStream
}

/** The host's side of a vsock device: `VsockPorts`, `UnixVsock` of `@retrap/virtio/node`, or one of yours. */
export interface VsockBackend {
  /** Names the guest; called again when a new machine takes the old one's place, whose connections end. */
  attach?(guest: VsockGuest): void
  /** The guest asks for a connection. Absent: all are refused. */
  request?(request: VsockRequest): void
}
