import { expect, test } from 'vitest'
import { parseVsock } from '../../src/machine/network/vsock-option.ts'

test('--vsock names the guest and a socket', () => {
  expect(parseVsock('cid=3,uds=/tmp/a,,b')).toEqual({ kind: 'vsock', cid: 3, uds: '/tmp/a,b' })
})

test.each([
  ['cid=2,uds=/tmp/a', 'write a number from 3'],
  ['cid=4294967295,uds=/tmp/a', 'write a number from 3'],
  ['cid=x,uds=/tmp/a', 'write a number from 3'],
  ['uds=/tmp/a', 'write a number from 3'],
  ['cid=3', 'write uds=PATH'],
  ['cid=3,path=/tmp/a', "has no 'path'"],
])('--vsock %s is an error that says what to write', (given, told) => {
  expect(() => parseVsock(given)).toThrow(
    expect.objectContaining({ code: 'ERR_USAGE', message: expect.stringContaining(told) }),
  )
})
