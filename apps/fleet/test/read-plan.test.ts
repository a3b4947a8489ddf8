import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { jsonSchema } from '../src/plan/plan-schema.ts'
import { PlanError, readPlan } from '../src/plan/read-plan.ts'

const KNOWN = { names: new Set(['kernel', 'initrd', 'append', 'cpus', 'drive', 'vga']), repeatable: new Set(['drive']) }
const jobsOf = (text: string) => readPlan('/plans/plan.yaml', text, KNOWN)
const mistakesOf = (text: string): string[] => {
  try {
    jobsOf(text)
  } catch (error) {
    expect(error).toBeInstanceOf(PlanError)
    return (error as Error).message.split('\n')
  }
  return []
}

describe('plans', () => {
  test('the smallest plan', () => {
    const [job, ...others] = jobsOf(
      'machines: [{ kernel: vmlinuz, initrd: i.gz, append: a b, expect: login, timeout: 90 }]',
    )
    expect(others).toEqual([])
    expect(job).toEqual({
      id: expect.stringMatching(/^00001-[0-9a-f]{12}$/),
      ...{ name: 'machine-1', system: 'run', folder: '/plans', retries: 0, expect: ['login'], timeoutSeconds: 90 },
      args: ['--kernel=vmlinuz', '--initrd=i.gz', '--append=a b'],
    })
  })

  test('lists are a matrix, and repeat multiplies it', () => {
    const jobs = jobsOf('machines: [{ name: m, kernel: [a, b], cpus: [1, 2], append: x, repeat: 2 }]')
    expect(jobs.map(({ name }) => name)).toEqual(
      ['a', 'b'].flatMap((kernel) =>
        [1, 2].flatMap((cpus) => [1, 2].map((i) => `m kernel=${kernel} cpus=${cpus} #${i}`)),
      ),
    )
    expect(new Set(jobs.map(({ id }) => id)).size).toBe(8)
    expect(jobs[7]?.args).toEqual(['--kernel=b', '--cpus=2', '--append=x'])
  })

  test('a list of an option that may be repeated is one value, a list of lists is a matrix', () => {
    expect(jobsOf('machines: [{ drive: [a, b] }]').map(({ args }) => args)).toEqual([['--drive=a', '--drive=b']])
    expect(jobsOf('machines: [{ images: [[a.img], [b.img, c.img]] }]').map(({ args }) => args)).toEqual([
      ['a.img'],
      ['b.img', 'c.img'],
    ])
  })

  test('settings of the plan hold for all machines, and a machine may have its own', () => {
    const jobs = jobsOf(
      'timeout: 5\nretries: 2\nfail: panic\nmachines:\n  - { kernel: a }\n  - { kernel: b, timeout: 2m, expect: [x, y], fail: [z] }',
    )
    expect(
      jobs.map(({ timeoutSeconds, retries, expect: texts, fail }) => [timeoutSeconds, retries, texts, fail]),
    ).toEqual([
      [5, 2, [], ['panic']],
      [120, 2, ['x', 'y'], ['z']],
    ])
  })

  test('true and false are options without a value; those of another system are not checked', () => {
    expect(jobsOf('machines: [{ vga: false }]')[0]?.args).toEqual(['--no-vga'])
    expect(jobsOf('machines: [{ system: linux, command: uname -a, deterministic: true }]')[0]).toMatchObject({
      system: 'linux',
      args: ['--command=uname -a', '--deterministic'],
    })
  })

  test.each([
    ['kernel: x', ['plan.yaml:1:1: a plan needs the key "machines"', 'plan.yaml:1:1: "kernel" is no key of a plan']],
    [
      'machines:\n  - kernal: x\n    timeout: soon',
      ['plan.yaml:2:5: "kernal" is no option', 'plan.yaml:3:14: "timeout" is seconds, or a time'],
    ],
    ['machines:\n  - { kernel: [] }', ['plan.yaml:2:15: "kernel" has no value']],
    ['machines:\n  - { kernel: { a: 1 } }', ['plan.yaml:2:15: a value of "kernel" is a text']],
    ['machines:\n  - kernel: a\n   cpus: 2', ['plan.yaml:3:']],
    ['machines: []', ['plan.yaml:1:1: there is no machine']],
    ['machines: 3', ['plan.yaml:1:11: "machines" is a list']],
    ['[]', ['plan.yaml:1:1: a plan is a map']],
    ['', ['plan.yaml:1:1: a plan is a map']],
    ['machines: [{ kernel: a, repeat: 0 }]', ['plan.yaml:1:33: "repeat" is a whole number']],
    ['machines: [{ kernel: a, repeat: 100000, cpus: [1, 2] }]', ['plan.yaml:1:1: the plan has 200000 jobs']],
    ['machines: [{ kernel: a, kernel: b }]', ['plan.yaml:1:25: ']],
    ['machines: [{ system: linux, 1: x }]', ['plan.yaml:1:29: a key is a word']],
    ['machines: [{ system: bsd }]', ['plan.yaml:1:22: "system" is "run" (default), ']],
    ['machines: [{ kernel: [a, [b]] }]', ['plan.yaml:1:26: a value of "kernel" is a text']],
    ['machines: [{ drive: [[a], b] }]', ['plan.yaml:1:27: a value of "drive" is a text']],
    ['machines: [{ expect: [a, true] }]', ['plan.yaml:1:26: "expect" is a text']],
  ])('mistakes have line and column: %s', (text, expected) => {
    const found = mistakesOf(text)
    for (const each of expected)
      expect(
        found.some((line) => line.startsWith(`/plans/${each}`)),
        found.join('\n'),
      ).toBe(true)
  })

  test('plan.schema.json is the schema that plans are read by; if not: node src/plan/plan-schema.ts >plan.schema.json', () => {
    const committed = readFileSync(new URL('../plan.schema.json', import.meta.url), 'utf8')
    expect(JSON.parse(committed)).toEqual(jsonSchema())
  })
})
