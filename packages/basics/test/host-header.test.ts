import { expect, test } from 'vitest'
import { namesServer } from '../src/index.ts'

const OURS = `127.0.0.1:8064 192.168.1.7 [::1]:80 [fe80::1] localhost:8064 LOCALHOST retrap.localhost.
  box.example:8064 Box.Example`.split(/\s+/)
const OTHERS = `evil.test box.example.evil.test localhost.evil.test 127.0.0.1.evil.test evil.test@localhost
  evil.test#localhost [::1].evil.test 1234`.split(/\s+/)

test('a request names this machine, or box.example, or another', () => {
  expect(OURS.filter((host) => !namesServer(host, ['box.example']))).toEqual([])
  expect([...OTHERS, '', undefined].filter((host) => namesServer(host, ['box.example']))).toEqual([])
})
