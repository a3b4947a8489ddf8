import { type IoDispatch, IoreqError } from '@retrap/ioreq'
import { decodeFrame, encodeFrame } from '../frame-coding.ts'
import { FramedRemote } from '../framed-server.ts'
import type { Frame } from '../frames.ts'
import type { DevicePlatform } from '../index.ts'
import type { ProtocolFrame } from '../protocol/frame-table.ts'
import type { FrameLink } from '../protocol/link.ts'
import type { RemoteServer, RemoteServerOptions } from '../remote-server.ts'

/** Bytes in front of a frame that say how long it is: a `model` frame has a length of its own. */
const LENGTH_BYTES = 4

/** A frame of the models', or to them, as the device protocol carries it. */
export const toModelFrame = (frame: Frame): ProtocolFrame<'model'> => ({
  kind: 'model',
  bytes: encodeFrame(frame).subarray(LENGTH_BYTES),
})

/** @throws IoreqError `ERR_PROTOCOL` for a frame that carries none */
export function fromModelFrame(frame: ProtocolFrame): Frame {
  if (frame.kind === 'model') return decodeFrame(frame.bytes)
  throw new IoreqError('ERR_PROTOCOL', `it sent a ${frame.kind} frame: expected model`)
}

/**
 * The hypervisor's end of a device server in another process: requests go out as frames and come back as frames. Their link
 * survives the loss of a connection.
 */
export class SocketTransport {
  /** The hypervisor's end of the server. */
  readonly remote: RemoteServer
  readonly #link: FrameLink
  readonly #framed: FramedRemote
  #draining = false

  /** @internal */
  constructor(dispatch: IoDispatch, platform: DevicePlatform, link: FrameLink, options: RemoteServerOptions) {
    this.#link = link
    this.#framed = new FramedRemote(
      dispatch,
      platform,
      {
        get writable() {
          return link.writable
        },
        send: (frame) => link.send(toModelFrame(frame)),
        lags: () => this.#drain(),
        close: () => link.close(),
      },
      options,
    )
    this.remote = this.#framed.remote
  }

  /** Whether there is a connection at this moment. */
  get connected(): boolean {
    return this.#link.isConnected
  }

  /** False: the other process has not taken all posted bytes. Wait for `drained`. */
  get writable(): boolean {
    return this.#link.writable
  }

  /** Settles when the other process has taken all posted bytes. */
  drained(): Promise<void> {
    return this.#link.drained()
  }

  /** Ends the server. */
  close(): void {
    this.remote.close()
  }

  /** @internal Takes a frame of the other process. */
  receive(frame: ProtocolFrame): void {
    this.#framed.receive(fromModelFrame(frame))
  }

  /** Sends the rest of the ring when the other process has taken all sent bytes. */
  #drain(): void {
    // A session that has ended never drains.
    if (this.#draining || this.#link.isOver) return
    this.#draining = true
    void this.#link.drained().then(() => {
      this.#draining = false
      this.#framed.sendBuffered(false)
    })
  }
}
