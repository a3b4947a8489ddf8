/** What the bench uses of Capstone.js, which has no declarations of its own. */
declare module '@alexaltea/capstone-js' {
  interface Disassembler {
    option(option: number, value: number): void
    disasm(bytes: Uint8Array, address: number): { readonly mnemonic: string; readonly op_str: string }[]
    close(): void
  }

  interface Capstone {
    readonly ARCH_X86: number
    readonly MODE_64: number
    readonly OPT_SKIPDATA: number
    readonly OPT_ON: number
    readonly Capstone: new (architecture: number, mode: number) => Disassembler
  }

  export default function MCapstone(): Promise<Capstone>
}
