/** Tools without a machine: bytes into lines and parts, and the page in Chromium, which loads no engine. */
import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { servePages } from '@retrap/tooling/page-server'
import { describe, expect, test } from 'vitest'
import { armLines } from '../src/tools/arm-lines.ts'
import { hexOf, type Line, type Part, readBytes } from '../src/tools/code.ts'
import { x86Lines } from '../src/tools/x86-lines.ts'
import { newPage, replaceText, violations } from './support/page.ts'
import { buildSite } from './support/site.ts'

/** The parts, and what they consist of. */
const partsOf = ({ parts }: Line): Part[] => parts.flatMap((part) => [part, ...(part.parts ?? [])])
const bytes = (text: string): Uint8Array => readBytes(text)!

test.each([
  ['48 89 d8', [0x48, 0x89, 0xd8]],
  ['4889d8', [0x48, 0x89, 0xd8]],
  ['0x48, 0x89;\n\\xd8', [0x48, 0x89, 0xd8]],
  ['', []],
  ['4', null],
  ['mov', null],
])('%j are bytes', (text, expected) => {
  expect(readBytes(text)).toEqual(expected && Uint8Array.from(expected))
})

describe('x86', () => {
  test.each([
    ['intel', 'mov rax, qword ptr [rbx+rcx*8+0x10]'],
    ['att', 'mov 0x10(%rbx,%rcx,8), %rax'],
    ['nasm', 'mov rax, qword [rbx+rcx*8+0x10]'],
  ] as const)('in the syntax %s', (syntax, text) => {
    const [line] = x86Lines(bytes('48 8b 44 cb 10'), 64, 0n, syntax)
    expect(line!.text.replaceAll(/\s+/g, ' ')).toBe(text)
  })

  test('the bytes are taken apart', () => {
    const parts = (text: string): string[] =>
      x86Lines(bytes(text), 64, 0n, 'intel').flatMap((line) =>
        line.parts.map(({ name, value }) => `${name} ${value}`.trim()),
      )
    expect(parts('48 8b 44 cb 10')).toEqual([
      'prefixes 48',
      'opcode 8b',
      'ModRM 44',
      'SIB cb',
      'displacement 10',
      'operand 1',
      'operand 2',
    ])
    expect(parts('c3')).toEqual(['opcode c3'])
    expect(parts('f3 0f 38 f6 c1').slice(0, 3)).toEqual(['prefixes f3', 'opcode 0f 38 f6', 'ModRM c1'])
    // The last byte of VEX may be 0F.
    expect(parts('c4 e1 0f d0 c1').slice(0, 3)).toEqual(['prefixes c4 e1 0f', 'opcode d0', 'ModRM c1'])
    expect(parts('66 81 c0 34 12')).toEqual([
      'prefixes 66',
      'opcode 81',
      'ModRM c0',
      'immediate 34 12',
      'operand 1',
      'operand 2',
    ])
    expect(parts('c7 05 01 00 00 00 02 00 00 00')).toEqual([
      ...['opcode c7', 'ModRM 05', 'displacement 01 00 00 00', 'immediate 02 00 00 00', 'operand 1', 'operand 2'],
    ])
  })

  test.each([
    ['48 8b 44 cb 10', 'prefixes', '4c', '4c 8b 44 cb 10'],
    ['48 8b 44 cb 10', 'prefixes', '', '8b 44 cb 10'],
    ['48 8b 44 cb 10', 'reg', '7', '48 8b 7c cb 10'],
    ['48 8b 44 cb 10', 'mod', '2', '48 8b 84 cb 10'],
    ['48 8b 44 cb 10', 'scale', '0', '48 8b 44 0b 10'],
    ['48 8b 44 cb 10', 'base', '8', null],
    ['48 8b 44 cb 10', 'displacement', 'f0', '48 8b 44 cb f0'],
    ['66 81 c0 34 12', 'immediate', '78 56', '66 81 c0 78 56'],
    ['66 81 c0 34 12', 'immediate', 'x', null],
    ['66 81 c0 34 12', 'operand 1', '1', undefined],
  ])('%s with another %s, %j: %s', (text, name, value, expected) => {
    const [line] = x86Lines(bytes(text), 64, 0n, 'intel')
    const part = partsOf(line!).find((one) => one.name === name)!
    const changed = part.change?.(value)
    expect(changed && hexOf(changed)).toBe(expected)
  })

  test('what is no instruction is said', () => {
    expect(x86Lines(bytes('06 48'), 64, 0n, 'intel').map(({ text }) => text)).toEqual([
      expect.stringMatching(/^\(invalid/) as string,
      expect.stringMatching(/^\(truncated/) as string,
    ])
  })
})

test.each([
  ['a64', 'e0 03 01 aa 00', ['mov x0, x1', '(truncated)']],
  ['a32', '01 00 a0 e1', ['mov r0, r1']],
  ['t32', '08 46 4f f0 01 00', ['mov r0, r1', 'mov.w r0, #0x1']],
  ['a64', '00 00 00 00', ['udf #0x0']],
] as const)('Arm %s: %s', (mode, text, expected) => {
  const lines = armLines(bytes(text), mode, 0n)
  expect(lines.map((line) => line.text.replaceAll(/\s+/g, ' ').replace(/#(\d+)$/, '#0x$1'))).toEqual(expected)
  expect(lines[0]!.parts.slice(0, 2).map(({ name }) => name)).toEqual(['word', 'fixed bits'])
})

test.each([
  ['a64', 'e0 03 01 aa'],
  ['a64', '00 04 40 f9'],
  ['a32', '01 00 a0 e1'],
  ['t32', '08 46'],
  ['t32', '4f f0 01 00'],
] as const)('each field of %s %s changes its own bits, and comes back', (mode, text) => {
  const [line] = armLines(bytes(text), mode, 0n)
  const fields = line!.parts.filter(({ name, change }) => change !== undefined && name !== 'word')
  expect(fields.length).toBeGreaterThan(0)
  for (const field of fields) {
    const other = (Number.parseInt(field.value, 16) ^ 1).toString(16)
    const [changed] = armLines(field.change!(other)!, mode, 0n)
    const found = changed!.parts.find(({ name }) => name === field.name)
    // Another value may be another instruction, with fields of its own.
    if (found !== undefined) expect(found.value).toBe(other)
    expect(hexOf(field.change!(field.value)!)).toBe(text)
    expect(field.change!('1ffffffff')).toBeNull()
  }
  expect(hexOf(line!.parts[0]!.change!(line!.parts[0]!.value)!)).toBe(text)
})

test.skipIf(noBrowser !== undefined)('the page disassembles, reads a syndrome, and loads no engine', async () => {
  const server = await servePages(await buildSite())
  const browser = await launchBrowser()
  try {
    const said: string[] = []
    const loaded: string[] = []
    const page = await newPage(browser, said)
    page.on('request', (request) => loaded.push(new URL(request.url()).pathname))
    await page.goto(`${server.origin}/tools.html#mode=x64&bytes=0f05`, { waitUntil: 'load' })
    const listing = (): Promise<string> => page.$eval('.listing', (one) => (one as HTMLElement).innerText)
    expect(await listing()).toContain('syscall')
    await replaceText(page, '.bytes', 'f0 48 0f c1 02')
    await expect.poll(listing).toContain('lock xadd qword ptr [rdx], rax')
    await page.locator('.listing summary').click()
    const value = (part: string): Promise<string> =>
      page.$eval(`::-p-aria(Value of ${part})`, (one) => (one as HTMLInputElement).value)
    expect([await value('prefixes'), await value('ModRM')]).toEqual(['f0 48', '02'])
    // The other direction: a part of the encoding is changed, and the bytes follow.
    await replaceText(page, '::-p-aria(Value of reg)', '3')
    await page.keyboard.press('Enter')
    await expect.poll(listing).toContain('lock xadd qword ptr [rdx], rbx')
    expect(await page.$eval('.bytes', (one) => (one as HTMLTextAreaElement).value)).toBe('f0 48 0f c1 1a')
    // An instruction of ten bytes lies across the end of what is shown at once.
    await replaceText(page, '.bytes', '48 b8 01 02 03 04 05 06 07 08 '.repeat(500))
    const rows = (): Promise<number> => page.$$eval('.listing > li', (all) => all.length)
    await expect.poll(rows).toBe(410)
    expect(await listing()).not.toContain('truncated')
    expect(await page.$eval('[role=status]', (one) => one.textContent)).toContain('the first 4100 of 5000 bytes')
    await page.locator('::-p-aria(Show 900 more)').click()
    await expect.poll(rows).toBe(500)
    await page.select('select', 'a64')
    await replaceText(page, '.bytes', 'c0 03 5f d6')
    await expect.poll(listing).toContain('ret')
    expect(await page.$eval('section[aria-labelledby=syndromes]', (one) => one.textContent)).toMatch(/data abort/i)
    // Neither a Worker's program nor WebAssembly.
    expect(page.workers()).toEqual([])
    expect(loaded.filter((path) => /worker|wasm|machine/.test(path))).toEqual([])
    expect(await violations(page)).toEqual([])
    // With an encoding taken apart, too.
    await page.select('select', 'x64')
    await replaceText(page, '.bytes', 'f0 48 0f c1 02')
    await expect.poll(listing).toContain('lock xadd')
    await page.$eval('.listing details', (one) => ((one as HTMLDetailsElement).open = true))
    await page.setViewport({ width: 390, height: 800 })
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390)
    expect(said).toEqual([])
  } finally {
    await browser.close()
    server.close()
  }
})
