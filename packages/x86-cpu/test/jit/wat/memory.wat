(module
  (type (;0;) (func (param i32 i32) (result i32)))
  (type (;1;) (func (param i32 i32 i32) (result i32)))
  (type (;2;) (func (param i32 i64 i64 i64) (result i32)))
  (type (;3;) (func (param i32 i32 i64 i32) (result i64)))
  (type (;4;) (func (param i32 i32 i32 i32) (result i32)))
  (type (;5;) (func (param i32 i32 i32 i32 i32 i32 i64 i64) (result i32)))
  (import "cpu" "system" (func (;0;) (type 0)))
  (import "cpu" "flags" (func (;1;) (type 2)))
  (import "cpu" "checkSegment" (func (;2;) (type 3)))
  (import "cpu" "slowAccess" (func (;3;) (type 4)))
  (import "cpu" "table" (table 0 funcref))
  (import "cpu" "memory" (memory 1))
  (func (;4;) (export "unit") (type 1)
    (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i32 i32 v128 v128 v128 v128 v128 v128 v128 v128 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i64 i64 i32 i32 i64 i32 i32 i64 i64 i32 i64 i32 i64 i64 i64 i64 i64 i64 i64 i64 i32 i32 i32 i32 i32)
    local.get 1
    i32.load offset=24 align=1
    local.set 41
    local.get 1
    i32.const 1
    i32.store8 offset=8 align=1
    local.get 0
    i32.load offset=188 align=1
    local.set 42
    local.get 0
    i64.load offset=176 align=1
    local.set 43
    local.get 0
    i64.load align=1
    local.set 3
    local.get 0
    i64.load offset=8 align=1
    local.set 4
    local.get 0
    i64.load offset=48 align=1
    local.set 9
    local.get 0
    i32.load offset=140 align=1
    local.set 37
    local.get 0
    i64.load offset=152 align=1
    local.set 38
    local.get 0
    i64.load offset=160 align=1
    local.set 39
    local.get 0
    i64.load offset=144 align=1
    local.set 40
    block
      ;; the unit
      loop
        ;; 100c 72 3 6
        local.get 9
        local.set 47
        local.get 2
        local.get 47
        i32.wrap_i64
        i32.const 8
        i32.shr_u
        i32.const (an address)
        i32.and
        i32.add
        local.set 48
        local.get 48
        i64.load align=1
        local.set 49
        local.get 48
        i32.load offset=8 align=1
        local.set 50
        local.get 47
        local.get 49
        i64.sub
        local.set 51
        local.get 51
        i64.const 4089
        i64.ge_u
        if
          i32.const 9
          local.set 44
          i32.const (an address)
          local.set 45
          br 2
        end
        local.get 51
        i32.wrap_i64
        local.set 30
        local.get 50
        local.get 30
        i32.add
        local.set 29
        local.get 29
        i64.load align=1
        local.set 52
        local.get 3
        local.set 53
        local.get 53
        local.set 54
        local.get 54
        local.get 52
        i64.add
        local.set 55
        local.get 55
        local.set 3
        local.get 54
        local.set 56
        local.get 52
        local.set 57
        local.get 55
        local.set 58
        ;; 100f 72 137 6
        local.get 3
        local.set 55
        local.get 9
        local.set 54
        local.get 2
        local.get 54
        i32.wrap_i64
        i32.const 8
        i32.shr_u
        i32.const (an address)
        i32.and
        i32.add
        local.set 50
        local.get 50
        i64.load offset=262144 align=1
        local.set 53
        local.get 50
        i32.load offset=262152 align=1
        local.set 48
        local.get 54
        local.get 53
        i64.sub
        local.set 52
        local.get 52
        i64.const 4089
        i64.ge_u
        if
          i32.const 2
          local.set 37
          local.get 56
          local.set 38
          local.get 57
          local.set 39
          local.get 58
          local.set 40
          i32.const 13
          local.set 44
          i32.const (an address)
          local.set 45
          br 2
        end
        local.get 52
        i32.wrap_i64
        local.set 30
        local.get 48
        local.get 30
        i32.add
        local.set 29
        local.get 29
        local.get 55
        i64.store align=1
        ;; 1012 255 201
        local.get 4
        i32.wrap_i64
        local.set 48
        local.get 48
        i32.const -1
        i32.add
        local.set 50
        local.get 50
        i64.extend_i32_u
        local.set 4
        local.get 50
        local.set 59
        ;; 1014 117 246
        local.get 59
        i32.eqz
        i32.eqz
        local.set 50
        local.get 50
        if
          local.get 42
          i32.const 4
          i32.sub
          local.get 0
          i32.load offset=232 align=1
          i32.le_s
          if
            i32.const (an address)
            i32.const 2
            i32.const 3
            local.get 42
            i32.const 4
            i32.sub
            i32.const 0
            i32.le_s
            select
            i32.const 20
            i32.shl
            i32.or
            i32.const 4
            i32.or
            local.set 48
            local.get 59
            i32.const 15
            i32.and
            i32.const 15
            i32.eq
            i32.const 4
            i32.shl
            local.get 59
            i32.const (an address)
            i32.eq
            i32.const 11
            i32.shl
            i32.or
            local.get 58
            local.get 57
            i64.lt_u
            i32.or
            local.set 60
            local.get 59
            local.set 61
            i32.const 1
            local.set 37
            i64.const 0
            local.set 38
            local.get 60
            i64.extend_i32_u
            local.set 39
            local.get 61
            i64.extend_i32_s
            local.set 40
            i32.const 17
            local.set 44
            local.get 48
            local.set 45
            local.get 43
            i64.const 12
            i64.add
            local.set 46
            br 3
          end
          local.get 59
          i32.const 15
          i32.and
          i32.const 15
          i32.eq
          i32.const 4
          i32.shl
          local.get 59
          i32.const (an address)
          i32.eq
          i32.const 11
          i32.shl
          i32.or
          local.get 58
          local.get 57
          i64.lt_u
          i32.or
          local.set 62
          local.get 59
          local.set 63
          i32.const 1
          local.set 37
          i64.const 0
          local.set 38
          local.get 62
          i64.extend_i32_u
          local.set 39
          local.get 63
          i64.extend_i32_s
          local.set 40
          local.get 42
          i32.const 4
          i32.sub
          local.set 42
          br 1
        end
        ;; 1016 244
        local.get 59
        i32.const 15
        i32.and
        i32.const 15
        i32.eq
        i32.const 4
        i32.shl
        local.get 59
        i32.const (an address)
        i32.eq
        i32.const 11
        i32.shl
        i32.or
        local.get 58
        local.get 57
        i64.lt_u
        i32.or
        local.set 63
        local.get 59
        local.set 62
        i32.const 1
        local.set 37
        i64.const 0
        local.set 38
        local.get 63
        i64.extend_i32_u
        local.set 39
        local.get 62
        i64.extend_i32_s
        local.set 40
        i32.const 21
        local.set 44
        i32.const (an address)
        local.set 45
        br 1
      end
    ;; the unit
    end
    local.get 0
    local.get 3
    i64.store align=1
    local.get 0
    local.get 4
    i64.store offset=8 align=1
    local.get 0
    local.get 37
    i32.store offset=140 align=1
    local.get 0
    local.get 38
    i64.store offset=152 align=1
    local.get 0
    local.get 39
    i64.store offset=160 align=1
    local.get 0
    local.get 40
    i64.store offset=144 align=1
    local.get 0
    local.get 1
    local.get 2
    local.get 44
    local.get 45
    local.get 42
    local.get 43
    local.get 46
    i32.const (a function)
    return_call_indirect (type 5)))
