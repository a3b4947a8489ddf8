// One description of a shift, generated twice: for any count, and for a count that is known when the code is generated.
import { I32, type I32Like, ModuleBuilder } from '@retrap/wasm-emitter'

/** SHL as x86 has it: the count is taken modulo 32, and a count of 0 leaves the value alone. */
function shiftLeft(value: I32, count: I32Like): I32 {
  return value.shl(I32.of(count).and(31))
}

const module = new ModuleBuilder()
const any = module.function('any', { params: ['i32', 'i32'], result: 'i32' }, { export: true })
any.return(shiftLeft(any.param(0, 'i32').get, any.param(1, 'i32').get))
const by0 = module.function('by0', { params: ['i32'], result: 'i32' }, { export: true })
by0.return(shiftLeft(by0.param(0, 'i32').get, 0))

for (const f of module.functions) console.log(f.name, f.codeBytes, 'bytes of code')

const compiled = new WebAssembly.Module(Uint8Array.from(module.build()))
const { exports } = new WebAssembly.Instance(compiled)
const shift = exports['any'] as (value: number, count: number) => number
console.log(shift(3, 4), shift(3, 36))

// Output:
// any 9 bytes of code
// by0 3 bytes of code
// 48 48
