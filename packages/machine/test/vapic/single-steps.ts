import { type Assembler, dr0, dr7, ebx } from '@retrap/x86-assembler'

/** Makes the processor execute one instruction at a time: a breakpoint is set, where nothing is ever executed. */
export function singleSteps(asm: Assembler): void {
  asm.mov(ebx, 0x10).mov(dr0, ebx).mov(ebx, 0x402).mov(dr7, ebx)
}
