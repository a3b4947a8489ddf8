import { PAGE_BYTES } from '@retrap/memory'
import type { MachineMemory } from '@retrap/memory'
import type { Region, RegionPage } from './region.ts'

/** An instruction of compiled guest code. */
export interface CompiledInstruction {
  /** Its linear address, where the code was when it was compiled. */
  readonly address: bigint
  /** What it consists of. */
  readonly bytes: Uint8Array
}

/** Guest code that has been compiled. */
export interface CompiledCode {
  /** The WebAssembly module: `moduleText` of `@retrap/wasm-emitter` prints it. */
  readonly module: Uint8Array
  /** Mode of the code. */
  readonly mode: number
  /** In the order of their addresses. */
  readonly instructions: readonly CompiledInstruction[]
}

/** Lists the instructions of a region. @param base - linear address of its first page */
export function compiledInstructions(
  memory: MachineMemory,
  region: Region<unknown>,
  base: bigint,
): CompiledInstruction[] {
  const pages = new Map(region.pages.map(({ delta, page }): [number, RegionPage['page']] => [delta, page]))
  const byteAt = (at: number): number => {
    const frame = pages.get(at - (at & (PAGE_BYTES - 1)))?.frame ?? 0
    return memory.u8[frame * PAGE_BYTES + (at & (PAGE_BYTES - 1))] as number
  }
  return region.blocks
    .flatMap(({ instructions }) => instructions)
    .toSorted((a, b) => a.at - b.at)
    .map(({ at, next }) => ({
      address: BigInt.asUintN(64, base + BigInt(at)),
      bytes: Uint8Array.from({ length: next - at }, (_, i) => byteAt(at + i)),
    }))
}
