export { default } from '@retrap/tooling/vitest'
