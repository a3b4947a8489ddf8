import { Instant, Stateful } from '@retrap/device'
import type { UsbSetup } from '../usb-device.ts'
import { addressOf, ENDPOINT, type EndpointContext } from './contexts.ts'
import { placeOf, type RingPlace } from './ring.ts'

/** Progress of a control transfer after its Setup stage. */
export interface ControlTransfer {
  readonly setup: UsbSetup
  /** The host's data received so far. */
  readonly data: readonly number[]
  /** The device has answered with data. */
  readonly answered: boolean
}

/** An endpoint of a slot: a transfer ring, and the position up to which its TRBs were executed. */
export class Endpoint extends Stateful {
  readonly slot: number
  readonly index: number
  readonly kind: number
  /** Interval in units of 125 µs. */
  readonly interval: number
  /** See `ENDPOINT`. */
  state: number = ENDPOINT.RUNNING
  place: RingPlace
  control: ControlTransfer | null = null
  /** An interrupt endpoint is asked once in its interval. */
  readonly notBefore: Instant = new Instant()

  constructor(slot: number, index: number, kind: number, interval: number, place: RingPlace) {
    super()
    this.slot = slot
    this.index = index
    this.kind = kind
    this.interval = interval
    this.place = place
    this.keeps<Endpoint>(this, {
      only: ['index', 'kind', 'interval', 'state', 'place', 'control', 'notBefore'],
      device: 'xhci',
    })
  }

  static of(slot: number, index: number, { kind, interval, dequeueLo, dequeueHi }: EndpointContext): Endpoint {
    return new Endpoint(slot, index, kind, interval, placeOf(dequeueLo, dequeueHi))
  }

  static from(slot: number, saved: unknown): Endpoint {
    const endpoint = new Endpoint(slot, 0, 0, 0, placeOf(0, 0))
    endpoint.restore(saved)
    return endpoint
  }

  get address(): number {
    return addressOf(this.index)
  }
}
