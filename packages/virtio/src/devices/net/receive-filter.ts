const ADDRESS_BYTES = 6
/** A driver with more addresses gets all frames of that kind. */
const MOST_ADDRESSES = 64

const CLASS_RECEIVE = 0
const CLASS_MAC = 1
const PROMISCUOUS = 0
const ALL_MULTICAST = 1
const SET_TABLE = 0
const SET_ADDRESS = 1

/** Saved form of a {@link ReceiveFilter}. */
export interface ReceiveFilterState {
  readonly promiscuous: boolean
  readonly allMulticast: boolean
  readonly allUnicast: boolean
  readonly unicast: readonly Uint8Array[]
  readonly multicast: readonly Uint8Array[]
}

/**
 * Which frames a card passes on to its driver, as the control queue says. A card begins with all.
 *
 * Source: VIRTIO 1.2, §5.1.6.5.1, "Packet Receive Filtering"; §5.1.6.5.2, "Setting MAC Address Filtering".
 */
export class ReceiveFilter {
  promiscuous: boolean = true
  #allMulticast = false
  #allUnicast = false
  #unicast: readonly Uint8Array[] = []
  #multicast: readonly Uint8Array[] = []

  get multicast(): readonly Uint8Array[] {
    return this.#multicast
  }

  /** More unicast or multicast addresses are wanted than a network can be told of. */
  get wantsAll(): boolean {
    return this.promiscuous || this.#allUnicast || this.#allMulticast || this.#unicast.length > 0
  }

  /** Whether a frame is for the driver. @param address - the card's own */
  accepts(frame: Uint8Array, address: Uint8Array): boolean {
    if (this.promiscuous) return true
    if ((frame[0]! & 1) === 0)
      return this.#allUnicast || begins(frame, address) || this.#unicast.some((each) => begins(frame, each))
    const broadcast = frame.subarray(0, ADDRESS_BYTES).every((byte) => byte === 0xff)
    return broadcast || this.#allMulticast || this.#multicast.some((each) => begins(frame, each))
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
      if (command === PROMISCUOUS) this.promiscuous = on
      else this.#allMulticast = on
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
    this.#allUnicast = unicast.count > MOST_ADDRESSES
    this.#unicast = unicast.addresses
    // The command says which addresses there are; whether all multicast frames are wanted is another one.
    this.#multicast = multicast.addresses
    if (multicast.count > MOST_ADDRESSES) this.#allMulticast = true
    return true
  }

  reset(): void {
    this.restore({ promiscuous: true, allMulticast: false, allUnicast: false, unicast: [], multicast: [] })
  }

  save(): ReceiveFilterState {
    return {
      promiscuous: this.promiscuous,
      allMulticast: this.#allMulticast,
      allUnicast: this.#allUnicast,
      unicast: this.#unicast,
      multicast: this.#multicast,
    }
  }

  restore({ promiscuous, allMulticast, allUnicast, unicast, multicast }: ReceiveFilterState): void {
    this.promiscuous = promiscuous
    this.#allMulticast = allMulticast
    this.#allUnicast = allUnicast
    this.#unicast = unicast
    this.#multicast = multicast
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
