import { PAGE_BYTES } from '@retrap/memory'
import type { XenConsole, XenOptions } from '@retrap/xen'
import type { MachineKind } from './board.ts'
import type { MachineGate } from './machine-gate.ts'
import type { SerialPort } from '../board/serial-port.ts'

/** A UUID of random numbers (RFC 9562, 5.4). @param random - 32 random bits a call */
function uuid(random: () => number): Uint8Array {
  const bytes = new Uint8Array(Uint32Array.from({ length: 4 }, random).buffer)
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return bytes
}

/**
 * Returns Xen's facts about the machine for the guest.
 *
 * @param random - returns 32 random bits a call, for the machine's UUID
 * @param memoryMap - map of a PC; an Arm board describes its own memory
 */
export function xenOptions(
  ram: readonly { readonly bytes: number }[],
  epochSeconds: number,
  random: () => number,
  memoryMap?: XenOptions['memoryMap'],
): XenOptions {
  const maxFrames = ram.reduce((sum, { bytes }) => sum + bytes / PAGE_BYTES, 0)
  return { handle: uuid(random), epochSeconds, maxFrames, ...(memoryMap && { memoryMap }) }
}

/**
 * The console that Xen gives its guests; silent without Xen.
 *
 * @param gate - gate of a recorded machine; a party of this gate exists only with Xen
 */
export function xenConsole(
  ring: XenConsole | undefined,
  gate: Pick<MachineGate<MachineKind>, 'console' | 'isHeard' | 'serial'> | undefined,
): SerialPort {
  const gated = ring && gate?.serial('xen', (bytes) => void ring.receive(bytes))
  const output = ring && gate && gate.console.heard.push(0) - 1
  const onTransmit = (listener: (bytes: Uint8Array) => void): void =>
    ring?.onTransmit((bytes) => {
      if (output !== undefined) gate?.console.hear(output, bytes)
      if (gate?.isHeard !== false) listener(bytes)
    })
  onTransmit(() => {})
  return {
    onTransmit,
    // Without a console nothing waits for the dropped bytes.
    receive(bytes) {
      if (gated === undefined) return ring?.receive(bytes) ?? true
      gated(bytes)
      return true
    },
    onDrain: (listener) => ring?.onDrain(listener),
    pipeTo: (sink) => onTransmit((bytes) => void sink.write(bytes)),
  }
}
