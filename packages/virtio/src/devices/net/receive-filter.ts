import { Stateful } from '@retrap/device'

const ADDRESS_BYTES = 6
/** A driver with more addresses gets all frames of that kind. */
const MOST_ADDRESSES = 64

const CLASS_RECEIVE = 0
const CLASS_MAC = 1
const PROMISCUOUS = 0
const ALL_MULTICAST = 1
const SET_TABLE = 0
const SET_ADDRESS = 1

const POWER_ON = {
  promiscuous: true,
  allMulticast: false,
  allUnicast: false,
  unicast: [] as readonly Uint8Array[],
  multicast: [] as readonly Uint8Array[],
}

/**
 * Which frames a card passes on to its driver, as the control queue says. A card begins with all.
 *
 * Source: VIRTIO 1.2, §5.1.6.5.1, "Packet Receive Filtering"; §5.1.6.5.2, "Setting MAC Address Filtering".
 */
export class ReceiveFilter extends Stateful {
  readonly #r = this.keeps({ ...POWER_ON })

  get multicast(): readonly Uint8Array[] {
    return this.#r.multicast
  }

  /** More unicast or multicast addresses are wanted than a network can be told of. */
  get wantsAll(): boolean {
    return this.#r.promiscuous || this.#r.allUnicast || this.#r.allMulticast || this.#r.unicast.length > 0
  }

  /** Whether a frame is for the driver. @param address - the card's own */
  accepts(frame: Uint8Array, address: Uint8Array): boolean {
    if (this.#r.promiscuous) return true
    if ((frame[0]! & 1) === 0)
      return this.#r.allUnicast || begins(frame, address) || this.#r.unicast.some((each) => begins(frame, each))
    const broadcast = frame.subarray(0, ADDRESS_BYTES).every((byte) => byte === 0xff)
    return broadcast || this.#r.allMulticast || this.#r.multicast.some((each) => begins(frame, each))
  }

  /**
   * Executes a command of the control queue.
   *
   * @param setAddress - sets the card's own address
   * @returns false: the command is not one, or not whole
   */
  execute(kind: number, command: number, data: Uint8Array, setAddress: (address: Uint8Array) => void): boolean {
    if (kind === CLASS_RECEIVE && data.length >= 1 && command <= ALL_MULTICAST) {
      const on = data[0] !== 0
      if (command === PROMISCUOUS) this.#r.promiscuous = on
      else this.#r.allMulticast = on
      return true
    }
    if (kind !== CLASS_MAC) return false
    if (command === SET_ADDRESS && data.length >= ADDRESS_BYTES) {
      setAddress(data.slice(0, ADDRESS_BYTES))
      return true
    }
    return command === SET_TABLE && this.#setTables(data)
  }

  #setTables(data: Uint8Array): boolean {
    const unicast = tableAt(data, 0)
    const multicast = unicast === null ? null : tableAt(data, unicast.end)
    if (unicast === null || multicast === null) return false
    this.#r.allUnicast = unicast.count > MOST_ADDRESSES
    this.#r.unicast = unicast.addresses
    // This command lists addresses; another one selects all multicast frames.
    this.#r.multicast = multicast.addresses
    if (multicast.count > MOST_ADDRESSES) this.#r.allMulticast = true
    return true
  }
}

function begins(frame: Uint8Array, address: Uint8Array): boolean {
  for (let i = 0; i < ADDRESS_BYTES; i++) if (frame[i] !== address[i]) return false
  return true
}

/** A count and this many addresses; those beyond the limit are not kept. */
function tableAt(
  data: Uint8Array,
  at: number,
): { readonly count: number; readonly addresses: readonly Uint8Array[]; readonly end: number } | null {
  if (at + 4 > data.length) return null
  const count = new DataView(data.buffer, data.byteOffset).getUint32(at, true)
  const end = at + 4 + ADDRESS_BYTES * count
  if (end > data.length) return null
  const addresses = Array.from({ length: count > MOST_ADDRESSES ? 0 : count }, (_, i) =>
    data.slice(at + 4 + ADDRESS_BYTES * i, at + 4 + ADDRESS_BYTES * (i + 1)),
  )
  return { count, addresses, end }
}
