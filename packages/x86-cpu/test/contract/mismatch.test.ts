import { expect, test } from 'vitest'
import { S_GPR } from '../../src/state/state-layout.ts'
import { CODE } from '../semantics/layout.ts'
import { ContractMachine, WINDOW_GPA } from './machine.ts'
import { ROW_CODE, startOf } from './rows.ts'

test('an instruction that goes another way when it is replayed stops its vCPU, and both accesses are named', () => {
  const machine = new ContractMachine()
  const code = new Uint8Array(0x1000).fill(0xcc)
  code.set([0x8b, 0x06], ROW_CODE - CODE) // MOV EAX, [RSI]
  machine.setCode(code)
  const start = startOf({ name: 'MOV', code: '8b06', registers: { rsi: 0x1000_0f10 } })
  machine.prepare(start, { pages: new Set([WINDOW_GPA]), ports: false, retries: 1, scribble: 'no' })
  expect(machine.vcpu.run(10)).toEqual({ reason: 'blocked' })
  machine.vcpu.u64[(S_GPR >>> 3) + 6] = 0x1000_0f20n
  const exit = machine.vcpu.run(10)
  expect(exit.reason).toBe('error')
  expect(String(exit.reason === 'error' && exit.error)).toMatch(
    /mmio-read 0x10f10 .*mmio-read 0x10f20|mmio-read 0x10f20 .*mmio-read 0x10f10/,
  )
})
