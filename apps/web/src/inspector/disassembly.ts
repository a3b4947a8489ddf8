/** An instruction's place, bytes and mode. */
export interface CodePlace {
  readonly mode: 16 | 32 | 64
  readonly address: bigint
  readonly bytes: Uint8Array
}

/** Disassembles code, at most this many instructions of it. */
export type Disassemble = (code: CodePlace, most: number) => string

/** Formats an address in the width of its mode. */
export const addressText = (address: bigint, mode: 16 | 32 | 64): string =>
  address.toString(16).padStart(mode === 64 ? 16 : 8, '0')

/** Loads the disassembler, which is large, on demand. */
export async function loadDisassembler(): Promise<Disassemble> {
  const { decodeAll, formatIntel } = await import('@retrap/x86-decoder')
  return ({ mode, address, bytes }, most) => {
    const lines: string[] = []
    let at = address
    for (const instruction of decodeAll(bytes, { mode, address })) {
      if (lines.length === most) break
      lines.push(`${addressText(at, mode)}  ${formatIntel(instruction, { address: at })}`)
      at += BigInt(instruction.length)
    }
    return lines.join('\n')
  }
}
