import { PAGE_BYTES } from '@retrap/memory'
import type { XenConsole, XenOptions } from '@retrap/xen'
import type { PcMemoryMap } from './loaders/index.ts'
import type { SerialPort } from './serial-port.ts'

/** Inputs of the I/O APIC that a hardware guest of Xen finds (Xen's public header arch-x86/hvm/save.h, `VIOAPIC_NUM_PINS`). */
export const XEN_IOAPIC_PINS = 48

/**
 * What Xen tells the guest of its machine.
 *
 * @param random - 32 random bits a call, for its UUID
 */
export function xenOptions(map: PcMemoryMap, epochSeconds: number, random: () => number): XenOptions {
  const handle = new Uint8Array(Uint32Array.from({ length: 4 }, random).buffer)
  // A UUID of random numbers (RFC 9562, 5.4).
  handle[6] = (handle[6]! & 0x0f) | 0x40
  handle[8] = (handle[8]! & 0x3f) | 0x80
  return {
    handle,
    epochSeconds,
    maxFrames: map.ram.reduce((sum, { bytes }) => sum + bytes / PAGE_BYTES, 0),
    memoryMap: map.e820.map(({ gpa, bytes, type }) => ({ base: gpa, size: bytes, type })),
  }
}

/** The console that Xen gives its guests; silent without Xen. */
export function xenConsole(ring: XenConsole | undefined): SerialPort {
  return {
    onTransmit: (listener) => ring?.onTransmit(listener),
    // Where there is no console, nobody waits for what is dropped.
    receive: (bytes) => ring?.receive(bytes) ?? true,
    onDrain: (listener) => ring?.onDrain(listener),
    pipeTo: (sink) => ring?.onTransmit((bytes) => void sink.write(bytes)),
  }
}
