/**
 * The parts that emulated processors share, whatever their instruction set: today the TLB.
 *
 * @packageDocumentation
 */
export { Tlb, tlbBytes } from './tlb.ts'
export type { TlbPage } from './tlb.ts'
export { TLB_EXECUTE, TLB_INDEX_MASK, TLB_READ, TLB_WRITE } from './tlb-layout.ts'
