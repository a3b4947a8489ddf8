import * as host from '@retrap/ioreq/host'
import * as node from '@retrap/ioreq/host/node'
import { expect, test } from 'vitest'
import * as oldHost from '../src/index.ts'
import * as oldNode from '../src/node.ts'

test.each([
  { name: '@retrap/device-host', old: oldHost, moved: host },
  { name: '@retrap/device-host/node', old: oldNode, moved: node },
])('$name has all that its new name has', ({ old, moved }) => {
  expect({ ...old }).toStrictEqual({ ...moved })
})
