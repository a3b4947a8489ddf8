import type { MachineView } from '@retrap/web'

/** A vCPU of any board. */
export type Vcpu = MachineView['vcpus'][number]
/** Width of x86 code, or one of Arm's instruction sets. */
export type CodeMode = Vcpu['mode']

/** An instruction's place, bytes and mode. */
export interface CodePlace {
  readonly mode: CodeMode
  readonly address: bigint
  readonly bytes: Uint8Array
}

/** An instruction of code that was taken apart. */
export interface CodeLine {
  readonly length: number
  readonly text: string
  /** `truncated`: the bytes end within the instruction. */
  readonly status: 'decoded' | 'invalid' | 'truncated'
}

/** Takes code apart. */
export type Decode = (code: CodePlace) => readonly CodeLine[]

export const isArm = (mode: CodeMode): mode is 'a64' | 'a32' | 't32' => typeof mode === 'string'

export const addressBytes = (mode: CodeMode): 2 | 4 | 8 => (mode === 64 || mode === 'a64' ? 8 : mode === 16 ? 2 : 4)

/** Formats an address in the width of its mode. */
export const addressText = (address: bigint, mode: CodeMode): string =>
  address.toString(16).padStart(addressBytes(mode) === 8 ? 16 : 8, '0')

/** Loads the disassembler for a mode's architecture, which is large. */
export async function loadDecoder(first: CodeMode): Promise<Decode> {
  if (isArm(first)) {
    const { armLines } = await import('../tools/arm-lines.ts')
    return ({ mode, address, bytes }) =>
      armLines(bytes, isArm(mode) ? mode : first, address).map(({ bytes: { length }, text }) => ({
        ...{ length, text },
        status: text === '(truncated)' ? 'truncated' : 'decoded',
      }))
  }
  const { decodeAll, formatIntel } = await import('@retrap/x86-decoder')
  return ({ mode, address, bytes }) =>
    Array.from(decodeAll(bytes, { mode: isArm(mode) ? first : mode, address }), (instruction) => ({
      length: instruction.status === 'invalid' ? 1 : instruction.length,
      text: formatIntel(instruction, { address: instruction.address }),
      status: instruction.status,
    }))
}

/** Disassembles code, at most this many instructions of it. */
export function disassembled(decode: Decode, code: CodePlace, most: number): string {
  let at = code.address
  const lines = decode(code)
    .slice(0, most)
    .map(({ length, text }) => {
      const line = `${addressText(at, code.mode)}  ${text}`
      at += BigInt(length)
      return line
    })
  return lines.join('\n')
}
