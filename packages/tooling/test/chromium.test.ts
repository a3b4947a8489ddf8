/** A page of Chromium, where there is one. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Chromium, findChromium, startChromium } from '../src/chromium.ts'

const name = await findChromium()

describe.runIf(name !== undefined)(`a page of Chromium${name === undefined ? ' (skipped: no Chromium)' : ''}`, () => {
  const server = createServer((_, response) =>
    response.setHeader('content-type', 'text/html').end('<title>Here</title>'),
  )
  let chromium: Chromium
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    chromium = await startChromium(name!)
  })
  afterAll(async () => {
    await chromium.close()
    server.close()
  })

  test('has loaded when it is there; its values come back, and what it throws', async () => {
    const page = await chromium.open(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    expect(await page.evaluate('document.title')).toBe('Here')
    expect(await page.evaluate('Promise.resolve({ a: [1, "b", null] })')).toEqual({ a: [1, 'b', null] })
    await expect(page.evaluate('(() => { throw new TypeError("not so") })()')).rejects.toThrow('TypeError: not so')
    await expect(page.evaluate('Promise.reject(new Error("later"))')).rejects.toThrow('Error: later')
    await expect(page.evaluate('(')).rejects.toThrow('SyntaxError')
    expect((await fetch(`http://${chromium.origin}/json/version`)).status).toBe(200)
  })

  test('may be empty', async () => {
    expect(await (await chromium.open('about:blank')).evaluate('1 + 1')).toBe(2)
  })
})
