// The part of the WebAssembly JavaScript interface that retrap uses, for libraries compiled without lib.dom.
// Source: W3C "WebAssembly JavaScript Interface", level 2, and the threads proposal for `shared`.

declare namespace WebAssembly {
  type ImportExportKind = 'function' | 'global' | 'memory' | 'table' | 'tag'
  type ValueType = 'anyfunc' | 'externref' | 'f32' | 'f64' | 'i32' | 'i64' | 'v128'
  type ImportValue = ((...args: never[]) => unknown) | Global | Memory | Table | number | bigint
  type ModuleImports = Record<string, ImportValue>
  type Imports = Record<string, ModuleImports>
  type ExportValue = Function | Global | Memory | Table
  type Exports = Record<string, ExportValue>

  interface ModuleExportDescriptor {
    readonly kind: ImportExportKind
    readonly name: string
  }
  interface ModuleImportDescriptor {
    readonly kind: ImportExportKind
    readonly module: string
    readonly name: string
  }

  interface Module {
    readonly __module?: never
  }
  interface ModuleConstructor {
    readonly prototype: Module
    new (bytes: ArrayBuffer | ArrayBufferView<ArrayBuffer>): Module
    exports(module: Module): ModuleExportDescriptor[]
    imports(module: Module): ModuleImportDescriptor[]
  }
  const Module: ModuleConstructor

  interface Instance {
    readonly exports: Exports
  }
  interface InstanceConstructor {
    readonly prototype: Instance
    new (module: Module, imports?: Imports): Instance
  }
  const Instance: InstanceConstructor

  interface MemoryDescriptor {
    initial: number
    maximum?: number
    shared?: boolean
  }
  interface Memory {
    readonly buffer: ArrayBuffer
    grow(delta: number): number
  }
  interface MemoryConstructor {
    readonly prototype: Memory
    new (descriptor: MemoryDescriptor): Memory
  }
  const Memory: MemoryConstructor

  interface TableDescriptor {
    element: 'anyfunc' | 'externref'
    initial: number
    maximum?: number
  }
  interface Table {
    readonly length: number
    get(index: number): any
    grow(delta: number, value?: any): number
    set(index: number, value?: any): void
  }
  interface TableConstructor {
    readonly prototype: Table
    new (descriptor: TableDescriptor, value?: any): Table
  }
  const Table: TableConstructor

  interface GlobalDescriptor {
    mutable?: boolean
    value: ValueType
  }
  interface Global {
    value: any
    valueOf(): any
  }
  interface GlobalConstructor {
    readonly prototype: Global
    new (descriptor: GlobalDescriptor, value?: any): Global
  }
  const Global: GlobalConstructor

  interface CompileError extends Error {}
  interface LinkError extends Error {}
  interface RuntimeError extends Error {}
  interface ErrorConstructor<T> {
    readonly prototype: T
    new (message?: string): T
  }
  const CompileError: ErrorConstructor<CompileError>
  const LinkError: ErrorConstructor<LinkError>
  const RuntimeError: ErrorConstructor<RuntimeError>

  function compile(bytes: ArrayBuffer | ArrayBufferView<ArrayBuffer>): Promise<Module>
  function instantiate(module: Module, imports?: Imports): Promise<Instance>
  function validate(bytes: ArrayBuffer | ArrayBufferView<ArrayBuffer>): boolean
}
