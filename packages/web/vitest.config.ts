export { withMadeOnce as default } from '@retrap/tooling/vitest'
