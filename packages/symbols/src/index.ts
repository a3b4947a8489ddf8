/**
 * Names of places in a guest's memory: a Linux kernel's own symbols, symbols of ELF files, System.map.
 *
 * @packageDocumentation
 */
export { buildIdOf, dynamicNames, ELF_HEADER_BYTES, elfLayout, isSameLayout } from './elf-image.ts'
export type { ElfLayout, ElfPart, ReadLinked } from './elf-image.ts'
export { elfFunctions, elfTables, isElfMark, readElfTables } from './elf-tables.ts'
export type { ElfSection, ElfSymbol, ElfTables } from './elf-tables.ts'
export { SymbolsError } from './errors.ts'
export { type FileSource, NameReader } from './file-source.ts'
export { FunctionStarts } from './function-starts.ts'
export { ramOf, type GuestRam, type LinuxMemory } from './guest-ram.ts'
export { linuxSymbols, readKallsyms, type LinuxSymbol } from './kallsyms.ts'
export { readLines, type LineTable, type SourceLine } from './line-table.ts'
export { linuxCommands, LinuxNames } from './linux-commands.ts'
export { sized, SymbolTable, type NamedPlace } from './symbol-table.ts'
export { systemMapSymbols } from './system-map.ts'
