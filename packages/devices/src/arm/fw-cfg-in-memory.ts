import type { AccessSize, DeviceContext, SynchronousRangeHandler, Word64 } from '@retrap/device'
import type { FwCfgRegisters } from '../fw-cfg.ts'

const SELECTOR = 0x08
const DMA = 0x10
const BYTES = 0x18

/**
 * Places the registers of a `FwCfg` in memory: data, selector and DMA, 24 bytes. The latter two are big-endian, and reads of
 * data give the item's bytes in their order.
 *
 * @param base - guest-physical address
 *
 * Source: QEMU, docs/specs/fw_cfg.rst, "Register Locations".
 */
export const fwCfgInMemory =
  (base: number) =>
  (context: DeviceContext, registers: FwCfgRegisters): void => {
    const read = (offset: number, size: number): number => {
      if (offset >= DMA) return registers.readDma(offset - DMA, size)
      let value = 0
      if (offset < SELECTOR) for (let i = 0; i < size; i++) value += registers.readByte() * 2 ** (8 * i)
      return value
    }
    const handler: SynchronousRangeHandler = {
      read,
      write: (offset: number, size: AccessSize, value: number): void => {
        if (offset === SELECTOR && size === 2) registers.select((value >> 8) | ((value & 0xff) << 8))
        else if (offset >= DMA && size === 4) registers.writeDma(offset - DMA, value)
      },
      read64: (offset: number, into: Word64): void => {
        into.lo = read(offset, 4)
        into.hi = read(offset >= DMA ? offset + 4 : offset, 4)
      },
      write64: (offset: number, lo: number, hi: number): void => {
        if (offset !== DMA) return
        registers.writeDma(0, lo)
        registers.writeDma(4, hi)
      },
    }
    context.mapMmio(base, BYTES, handler, { maximumAccess: 8 })
  }
