// What the pages do with a program of code: types are taken out of it, and it runs as a function. A test runs all
// of them in this way.
import { transform } from 'sucrase'

/** A program without its types, as the body of an asynchronous function of `require` and `exports`. */
export interface Program {
  readonly body: string
  /** The modules that it imports. */
  readonly imports: readonly string[]
}

/** Compiles the TypeScript of an example. @throws SyntaxError */
export function compile(code: string): Program {
  const { code: body } = transform(code, { transforms: ['typescript', 'imports'], disableESTransforms: true })
  return { body, imports: [...body.matchAll(/\brequire\('([^']+)'\)/g)].map(([, name]) => name as string) }
}

/** The modules that a program may import; each is loaded when a program imports it. */
export const modules: Readonly<Record<string, () => Promise<unknown>>> = {
  '@retrap/arm-mmio': () => import('@retrap/arm-mmio'),
  '@retrap/block': () => import('@retrap/block'),
  '@retrap/device': () => import('@retrap/device'),
  '@retrap/machine': () => import('@retrap/machine'),
  '@retrap/network': () => import('@retrap/network'),
  '@retrap/replay': () => import('@retrap/replay'),
  '@retrap/test': () => import('@retrap/test'),
  '@retrap/trace': () => import('@retrap/trace'),
  '@retrap/virtio': () => import('@retrap/virtio'),
  '@retrap/wasm-emitter': () => import('@retrap/wasm-emitter'),
  '@retrap/x86-assembler': () => import('@retrap/x86-assembler'),
  '@retrap/x86-decoder': () => import('@retrap/x86-decoder'),
}

type Body = (require: (name: string) => unknown, exports: object) => Promise<void>
const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor as new (...parts: string[]) => Body

/** Runs a program to its end. @throws Error what the program throws; a module that cannot be imported */
export async function runProgram({ body, imports }: Program): Promise<void> {
  const loaded = new Map<string, unknown>()
  for (const name of imports) {
    const load = modules[name]
    if (load === undefined)
      throw new Error(`'${name}' cannot be imported here; there are ${Object.keys(modules).join(', ')}`)
    loaded.set(name, await load())
  }
  // A block: a program may have names of its own, such as `exports`.
  await new AsyncFunction('require', 'exports', `{${body}\n}`)((name) => loaded.get(name), {})
}

/** A value as Node's console prints it, as far as the examples print values. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'bigint') return `${value}n`
  return String(value)
}
