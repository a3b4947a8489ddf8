/** Port of CONFIG_ADDRESS. */
export const CONFIG_ADDRESS_PORT = 0xcf8
/** First of the four ports of CONFIG_DATA. */
export const CONFIG_DATA_PORT = 0xcfc

const ENABLE = 0x8000_0000

/**
 * The domain's latch of port 0xCF8 and what it says about 0xCFC–0xCFF.
 *
 * Source: PCI Local Bus Specification 3.0, §3.2.2.3.2, "Software Generation of Configuration Transactions".
 */
export class ConfigAddress {
  /** The latched dword. */
  value = 0
  /** AMD families 0x10–0x16 with NB_CFG bit 46: bits 27:24 are register bits 11:8. */
  extended = false

  /** Whether an access to `port` is a configuration access. Its size does not matter. */
  decodes(port: number): boolean {
    return port >= CONFIG_DATA_PORT && port <= CONFIG_DATA_PORT + 3 && this.value >= ENABLE
  }

  /** Bus, device and function, as bus·256 + device·8 + function. */
  get bdf(): number {
    return (this.value >>> 8) & 0xffff
  }

  /** The register that an access to `port` begins at. */
  register(port: number): number {
    const low = (this.value & 0xfc) | (port & 3)
    return this.extended ? low | (((this.value >>> 24) & 0xf) << 8) : low
  }
}
