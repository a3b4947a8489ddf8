import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { buildForHost, hostCpu } from '../src/host-cpu.ts'

const folder = temporaryFolder('host-test')

function write(name: string, text: string): string {
  const file = join(folder, name)
  writeFileSync(file, text)
  return file
}

const there = hostCpu()

describe.skipIf(typeof there === 'string' && there.includes('x86-64'))('the processor of an x86-64 host', () => {
  test('has what the kernel says, by the names of the decoder', () => {
    const text = 'processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nflags\t\t: fpu sse pni sha_ni avx2\n'
    const cpu = hostCpu(write('cpuinfo', text))
    if (typeof cpu === 'string') throw new Error(cpu)
    expect(cpu).toMatchObject({ vendor: 'GenuineIntel', family: 6 })
    const features = ['', 'FPU', 'SSE3', 'SHA', 'FPU+SSE3', 'AVX', 'AVX2+AVX']
    expect(features.filter((feature) => cpu.has(feature))).toEqual(['', 'FPU', 'SSE3', 'SHA', 'FPU+SSE3'])
  })

  test('is not known without /proc', () => {
    expect(hostCpu(join(folder, 'absent'))).toBe(`there is no ${join(folder, 'absent')}`)
  })
})

test('a program is built once, and a reason is one line', () => {
  const path = process.env['PATH']
  const good = buildForHost(write('good.c', `int main(void) { return ${process.pid % 100}; }`), ['-O1'])
  if (typeof good !== 'string') {
    expect(spawnSync(good.path).status).toBe(process.pid % 100)
    const bad = buildForHost(write('bad.c', '#include <absent.h>\nint main(void) { return 1 }\n'), [])
    expect(bad).toMatch(/^gcc cannot build .*bad\.c: .*absent\.h.*$/)
  } else expect(good).not.toContain('\n')
  try {
    process.env['PATH'] = folder
    expect(buildForHost(join(folder, 'good.c'), ['-O1'])).toBe('there is no gcc')
  } finally {
    process.env['PATH'] = path
  }
})
