/** The user of a network, who is notified by these calls: a device model. */
export interface PacketClient {
  /**
   * Takes a frame from the network, from destination address to the end of the payload (no checksum).
   *
   * @param frame - valid until the call returns
   * @returns false where the model has no room: the network keeps the frame, and offers it again after `ready`
   */
  receive(frame: Uint8Array): boolean
  /** Called when `send` accepts frames again. */
  drained(): void
  /** Called when the cable was plugged in or pulled. */
  linkChanged(up: boolean): void
}

/** A network, as a network card's model uses it. */
export interface PacketBackend {
  /** Names the model that is notified of the network, once; until then frames are dropped. */
  connect(client: PacketClient): void
  /** Whether the cable is plugged in. */
  readonly linkUp: boolean
  /** Six bytes of the card's address, if the network prescribes one. */
  readonly macAddress?: Uint8Array
  /** Largest frame in bytes, header included; 1514 on Ethernet without tags. */
  readonly maximumBytes: number
  /**
   * Sends a frame.
   *
   * @param frame - bytes that the network may read until the call returns
   * @returns false where the network has no room: the frame was not taken, and `drained` follows
   */
  send(frame: Uint8Array): boolean
  /** Called when the model has room again, after `receive` has returned false. */
  ready(): void
  /** Sets the addresses that the card wants; a network may pass on more. */
  filter?(addresses: {
    readonly promiscuous: boolean
    readonly unicast: Uint8Array
    readonly multicast: readonly Uint8Array[]
  }): void
}

// The checksum of IP, TCP, UDP and ICMP: network cards complete it, and networks behind them check it.
// Source: RFC 1071, "Computing the Internet Checksum".

/**
 * Adds bytes to a ones' complement sum, as 16-bit words in network order. A last byte alone is padded with 0.
 *
 * @param before - the sum of an even number of bytes before these
 * @returns the sum with its carries; exact for any length that memory holds
 */
export function sumWords(bytes: Uint8Array, from: number, to: number, before = 0): number {
  let sum = before
  for (let i = from; i + 1 < to; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!
  if ((to - from) % 2 === 1) sum += bytes[to - 1]! << 8
  return sum
}

/** Returns a sum in 16 bits: its carries are added at the low end. */
export function foldSum(sum: number): number {
  let left = sum
  while (left > 0xffff) left = (left % 0x1_0000) + Math.floor(left / 0x1_0000)
  return left
}

/** Returns the checksum that a sum comes to; 0 for the sum over data with a right checksum. */
export const checksumOf = (sum: number): number => ~foldSum(sum) & 0xffff
