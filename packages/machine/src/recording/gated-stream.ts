import type { ByteStreamBackend, ModemInputs } from '@retrap/device'
import { message } from '../board/board-messages.ts'
import { END, FarStream } from '../back-ends/streams.ts'
import type { InputGate } from './input-gate.ts'

/** Bytes that may be on their way, or wait for the model, before the stream waits. */
const MOST_OUTSTANDING = 16_384
/** Most bytes that wait for a full stream. */
const MOST_UNSENT = 16 << 20
/** First byte of an input. */
const BYTES = 0
const BREAK = 1
const MODEM = 2
const ENDED = 3

/**
 * A stream of bytes whose inputs enter the machine by the gate. It takes all that the guest sends: whether the stream has room is no
 * matter of the guest's. Bytes that a stalled reader leaves are lost beyond {@link MOST_UNSENT}, as on a wire.
 */
export class GatedStream extends FarStream {
  readonly #stream: ByteStreamBackend | null
  readonly #gate: InputGate
  readonly #number: number
  #outstanding = 0
  /** The bytes that the stream had no room for; drained later. */
  #unsent: Uint8Array[] = []
  #unsentBytes = 0
  #full = false

  /** @param isShown - whether the guest's output is for people */
  constructor(gate: InputGate, name: string, stream: ByteStreamBackend | null, isShown = false) {
    const output = isShown ? gate.console.heard.push(0) - 1 : undefined
    super(
      (bytes) => {
        if (output !== undefined) gate.console.hear(output, bytes)
        return this.#send(bytes)
      },
      (count) => {
        this.#outstanding -= count
        // A timed stream has had all of its bytes taken, while it still gives the newest ones to the model.
        if (!gate.isTimed) stream?.ready?.()
      },
    )
    this.#gate = gate
    this.#stream = stream
    this.#number = gate.party(name, (data) => this.#delivered(data), {
      save: () => this.feeder.save(),
      restore: (saved) => this.feeder.restore(saved as readonly Uint8Array[]),
    })
    stream?.connect?.({
      receive: (bytes) => this.#received(bytes),
      drained: () => this.#drained(),
      breakReceived: () => gate.post(this.#number, Uint8Array.of(BREAK)),
      modemChanged: (inputs) => gate.post(this.#number, encodeModem(inputs)),
      ended: () => gate.post(this.#number, Uint8Array.of(ENDED)),
    })
  }

  #send(bytes: Uint8Array): boolean {
    if (this.#full) {
      if (this.#unsentBytes + bytes.length > MOST_UNSENT) return true
      this.#unsentBytes += bytes.length
      this.#unsent.push(bytes)
    } else if (bytes === END) this.#stream?.left?.()
    else if (this.#stream?.send(bytes) === false) this.#full = true
    return true
  }

  #drained(): void {
    this.#full = false
    const unsent = this.#unsent
    this.#unsent = []
    this.#unsentBytes = 0
    for (const bytes of unsent) this.#send(bytes)
  }

  /** Called when the guest closes its end, after bytes that the stream has not taken yet. */
  left(): void {
    if (this.#unsent.at(-1) !== END) this.#send(END)
  }

  setBreak(on: boolean): void {
    this.#stream?.setBreak?.(on)
  }

  setModem(outputs: Parameters<NonNullable<ByteStreamBackend['setModem']>>[0]): void {
    this.#stream?.setModem?.(outputs)
  }

  setFormat(format: Parameters<NonNullable<ByteStreamBackend['setFormat']>>[0]): void {
    this.#stream?.setFormat?.(format)
  }

  #received(bytes: Uint8Array): number {
    // Bytes that wait for another turn would enter later than without a recording.
    const room = this.#gate.isTimed ? Infinity : MOST_OUTSTANDING - this.#outstanding
    const count = Math.min(bytes.length, room)
    if (count <= 0) return 0
    this.#outstanding += count
    this.#gate.post(this.#number, message(BYTES, bytes.subarray(0, count)))
    return count
  }

  #delivered(data: Uint8Array): void {
    // The end comes behind the bytes that wait for room.
    if (data[0] === ENDED) return this.receive(END)
    if (data[0] === BREAK) return this.client?.breakReceived?.()
    if (data[0] === MODEM) return this.client?.modemChanged?.(decodeModem(data[1] ?? 0))
    this.receive(data.subarray(1))
  }
}

const encodeModem = ({ clearToSend, dataSetReady, ringIndicator, carrierDetect }: ModemInputs): Uint8Array =>
  Uint8Array.of(MODEM, +clearToSend | (+dataSetReady << 1) | (+ringIndicator << 2) | (+carrierDetect << 3))

const decodeModem = (bits: number): ModemInputs => ({
  clearToSend: (bits & 1) !== 0,
  dataSetReady: (bits & 2) !== 0,
  ringIndicator: (bits & 4) !== 0,
  carrierDetect: (bits & 8) !== 0,
})
